"""Faults that are rare and expensive: a bad row among good ones, a restored backup, invoices ended
elsewhere."""

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.checkout.installment_page import installment_page
from billing.checkout.payable import NotPayable
from billing.installments import dunning
from billing.installments.attempts import run_attempt
from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.installments.staff_actions import record_offline
from billing.ledger.settle import settle_checkout_session
from billing.models import Card, ChargeAttempt, Consent, Installment, PaymentMethod, PaymentPlan, StripeEvent
from billing.stripe import gateway
from csf.jobs.runs import run_job
from csf.models import Instance, JobRun
from csf.refusal import NotPossible
from tests.billing.story import PAID, story
from tests.factories import create_cart, create_course, create_order, create_staff
from tests.pages import parent_of
from tests.shop import DUE, RETRY, money_moved, open_page, order_with_plan, outcome, script
from tests.shop import PAID as PAID_ORDER
from tests.stripe_events import deliver, work_off_inbox


def charge_in_this_thread():
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def invoice_made_elsewhere(installment):
    """By another installation with the same data, so long ago that its keys are forgotten."""
    customer = installment.order.household.stripe_customer.stripe_id
    metadata = {"installment": str(installment.public_id)}
    made = gateway.create_invoice(customer=customer, currency="usd", metadata=metadata, key="old:inv")
    gateway.add_invoice_line(
        made["id"],
        customer=customer,
        amount_cents=installment.amount_cents,
        currency="usd",
        text="part 2",
        key="old:ii",
    )
    return gateway.finalize_invoice(made["id"], key="old:fin")


def card_of(installment):
    return Card.objects.get(household=installment.order.household, replaced_at=None)


def test_an_installment_that_moved_while_the_job_looked_stops_no_other(shop, monkeypatch):
    first, second = order_with_plan(shop), order_with_plan(shop)
    Card.objects.update(refused_at=timezone.now())
    look = dunning.candidates

    def look_and_lose(*args, **options):
        found = look(*args, **options)
        Installment.objects.filter(pk=first.pk).update(status="waived")
        return found

    monkeypatch.setattr(dunning, "candidates", look_and_lose)

    run, _ = run_job("charge", lambda: start_charges(DUE, on=second.due_on), on=second.due_on)

    second.refresh_from_db()
    assert (run.status, second.status) == (JobRun.Status.DONE, "needs_card")


def test_an_invoice_that_somebody_voided_goes_to_staff_and_is_not_tried_for_ever(shop):
    installment = order_with_plan(shop)
    invoice = invoice_made_elsewhere(installment)
    Installment.objects.filter(pk=installment.pk).update(stripe_invoice_id=invoice["id"])
    gateway.void_invoice(invoice["id"], key="old:void")

    start_charges(DUE, on=installment.due_on)
    charge_in_this_thread()

    assert story(installment) == {
        "installment": "exhausted",
        "attempts": ["rejected"],
        "paid": 0,
        "tasks": ["charge_rejected"],
    }


def test_an_invoice_paid_elsewhere_while_its_charge_waits_for_a_worker_is_settled_at_once(shop):
    installment = order_with_plan(shop)
    invoice = invoice_made_elsewhere(installment)
    start_charges(DUE, on=installment.due_on)
    gateway.pay_invoice(invoice["id"], card=card_of(installment).stripe_payment_method_id, key="old:pay")
    [event] = shop.events("invoice.paid")

    deliver(event)
    work_off_inbox()

    assert StripeEvent.objects.get(stripe_id=event["id"]).status == "processed"
    assert story(installment) == PAID | {"attempts": ["not_executed"]}
    charge_in_this_thread()
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_a_restored_backup_charges_nobody_again_for_what_it_forgot(shop):
    installment = order_with_plan(shop)
    invoice = invoice_made_elsewhere(installment)
    gateway.pay_invoice(invoice["id"], card=card_of(installment).stripe_payment_method_id, key="old:pay")
    Instance.quarantine()
    start_charges(DUE, on=installment.due_on)
    assert charge_waiting() is False
    Instance.lift_quarantine()

    charge_in_this_thread()

    assert story(installment) == PAID | {"tasks": ["emails_withheld"]}
    assert money_moved(shop, installment) == [installment.amount_cents]


def paid_by_the_family(part):
    with pytest.raises(NotPayable, match="is paid"):
        installment_page(part, by=None, now=timezone.now())


def paid_in_cash(part):
    with pytest.raises(NotPossible, match="just paid"):
        record_offline(
            installment=part,
            by=create_staff(),
            reason="x",
            method=PaymentMethod.CASH,
            received_at=timezone.now(),
        )


@pytest.mark.parametrize("pay", [paid_by_the_family, paid_in_cash])
def test_after_a_restore_nobody_pays_again_what_the_backup_forgot(shop, pay):
    installment = order_with_plan(shop)
    invoice = invoice_made_elsewhere(installment)
    gateway.pay_invoice(invoice["id"], card=card_of(installment).stripe_payment_method_id, key="old:pay")
    Instance.lift_quarantine()

    pay(Installment.objects.get(pk=installment.pk))

    assert story(installment) == PAID | {"attempts": [], "tasks": ["emails_withheld"]}
    assert money_moved(shop, installment) == [installment.amount_cents]


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
def test_an_event_whose_transaction_was_broken_off_is_handled_again_at_once(
    shop, committed_db, monkeypatch, sqlstate
):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")
    from billing.events import webhooks

    settle, broken = webhooks.settle_payment_intent, []

    def break_off_twice(intent):
        payment = settle(intent)
        if len(broken) < 2:
            broken.append(payment)
            raise OperationalError("deadlock detected") from psycopg.errors.lookup(sqlstate)()
        return payment

    monkeypatch.setattr(webhooks, "settle_payment_intent", break_off_twice)
    deliver(event)
    work_off_inbox()

    assert StripeEvent.objects.get().status == "processed"
    assert outcome(order) == PAID_ORDER


def test_settling_locks_the_family_before_its_order(shop):
    """The order of locks that placing an order has too; the other way round the two can block each other."""
    installment = order_with_plan(shop)
    attempt = installment.order.installments.get(number=1).attempts.get()
    session = gateway.retrieve_checkout_session(attempt.stripe_session_id)

    with CaptureQueriesContext(connection) as queries:
        settle_checkout_session(session)

    locked = [query["sql"].split('"')[1] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert locked == ["enrollments_household", "orders_order", "billing_installment"]


@pytest.mark.parametrize(
    ("forwarded", "kept"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.7, 2001:db8::9", "2001:db8::9"),  # the first is what the visitor claims
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("<script>", None),
    ],
)
def test_the_consent_names_the_visitor_and_not_the_proxy(shop, settings, forwarded, kept):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    order = create_cart()
    plan = PaymentPlan.objects.create(name="Two", parts=2)
    form = {"order": str(order.public_id), "plan": str(plan.pk)}
    client = parent_of(order.household)

    answer = client.post(
        "/checkout/", form, headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=""
    )  # as behind a proxy on a socket of the file system

    assert answer.url.startswith(shop.server.url)
    assert Consent.objects.get().address == kept


def test_every_key_that_stripe_saw_for_an_installment_names_a_row_of_ours(shop):
    """Two declines and a success, so that some keys are used again and some are not."""
    installment = order_with_plan(shop)
    script(shop, installment, "insufficient_funds", "insufficient_funds")
    start_charges(DUE, on=installment.due_on)
    charge_in_this_thread()
    for _ in range(2):
        installment.refresh_from_db()
        start_charges(RETRY, on=installment.next_try_on)
        charge_in_this_thread()

    assert story(installment) == PAID | {"attempts": ["declined", "declined", "succeeded"]}
    asked = {post["key"] for post in shop.server.books()["posts"]}
    attempts = {str(attempt.public_id) for attempt in installment.attempts.all()}
    parts = {f"{step}:{installment.public_id}" for step in ("inv", "ii", "fin")}
    first = installment.order.installments.get(number=1).attempts.get()
    family = installment.order.household
    assert asked == {
        f"cus:{family.public_id}",
        f"co:{first.public_id}",
        *parts,
        *(f"pay:{attempt}" for attempt in attempts),
    }
