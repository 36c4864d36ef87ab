"""Our books compared with Stripe's (M16): what is planted on either side reaches a person, once."""

import datetime
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ

from billing import tasks
from billing.events import stripe_books
from billing.events.stripe_books import compare_books, compare_day, compare_open, days_to_compare
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.ledger.differences import amount_text, explain
from billing.ledger.refund_sending import refund_waiting
from billing.models import (
    BookDifference,
    ComparedDay,
    Dispute,
    InstallmentStatus,
    KnownIntent,
    Payment,
    Refund,
)
from csf.jobs import daily
from csf.models import Instance, JobRun, StaffTask
from csf.proofs.invariants import violations
from tests.billing.refunds import DISPUTED, approved, paid
from tests.factories import create_order, create_staff
from tests.hosted_page import invoice_page
from tests.shop import at_stripe, forget_rows, hear, intent_of, open_page, order_with_plan

pytestmark = pytest.mark.django_db


def today():
    return timezone.now().astimezone(datetime.UTC).date()


def look():
    """Yesterday's books too, in case midnight has just passed in UTC."""
    for day in (today() - timedelta(days=1), today()):
        assert compare_day(day)
    assert compare_open() == 0


def found():
    rows = BookDifference.objects.open().order_by("subject", "pk")
    return [(row.subject, row.ours, row.theirs) for row in rows]


def broken():
    return sorted({violation.number for violation in violations()})


def table(shop, name):
    return shop.server.state.store.tables[name]


def invoice_paid(shop):
    """An installment that was charged to the saved card, with its event heard."""
    part = order_with_plan(shop)
    start_charges([InstallmentStatus.SCHEDULED], on=part.due_on)
    for attempt_id in part.attempts.values_list("pk", flat=True):
        run_attempt(attempt_id)
    return Payment.objects.get(installment=part)


def test_books_that_agree_say_so(shop):
    invoice_paid(shop)
    approved(paid(shop))
    refund_waiting()
    paid(shop, DISPUTED)
    hear(shop, "charge.dispute.created")

    look()

    assert (found(), broken()) == ([], [])
    compared = ComparedDay.objects.get(day=today())
    counts = (compared.payments, compared.refunds, compared.disputes, compared.foreign)
    assert counts == (4, 1, 1, 0)
    gets = len(KnownIntent.objects.all())
    look()
    assert len(KnownIntent.objects.all()) == gets == 1


# --- Only at Stripe -----------------------------------------------------------------------------------------


def test_money_whose_events_were_lost_is_recorded_and_no_difference(shop):
    order = create_order()
    shop.pay(open_page(order), DISPUTED)
    disputed = create_order()
    shop.pay(open_page(disputed))
    shop.server.control("POST", "/_refunds", {"payment_intent": intent_of(shop, disputed), "amount": 900})

    look()

    assert (Payment.objects.count(), Refund.objects.count(), Dispute.objects.count()) == (2, 1, 1)
    assert (found(), broken()) == ([], [])


def test_a_part_of_an_invoice_that_was_charged_by_hand_reaches_a_person(shop):
    """A day on which Stripe called an invoice unpaid though it had taken money was never compared."""
    part = order_with_plan(shop)
    part.order.refresh_from_db()
    shop.pay(invoice_page(part))
    [invoice] = table(shop, "invoice").values()
    invoice["status"] = "open"
    charge = list(table(shop, "charge").values())[-1]

    assert (compare_day(today()), ComparedDay.objects.count()) == (True, 0)  # it may say so in a moment
    charge["created"] -= 2 * 3600
    at_stripe(shop, "POST", "/v1/refunds", payment_intent=charge["payment_intent"], amount=1000)
    look()

    assert found() == [("payment", "", "$72.00 paid"), ("refund", "", "$10.00 succeeded")]
    assert ComparedDay.objects.count() == 2
    assert {task.kind for task in StaffTask.objects.open()} == {"books_differ"}


def test_each_cent_that_the_backup_does_not_know_reaches_a_person(shop, settings):
    """After a restore: the rows that money, refund and dispute name are gone, and so are their events."""
    orders = [create_order() for _ in range(2)]
    for order, card in zip(orders, ["4242424242424242", DISPUTED], strict=True):
        shop.pay(open_page(order), card)
    shop.server.control("POST", "/_refunds", {"payment_intent": intent_of(shop, orders[0]), "amount": 900})
    forget_rows()
    Instance.quarantine()
    Instance.lift_quarantine()

    look()
    look()

    assert found() == [
        ("dispute", "", "$144.00 needs_response"),
        ("payment", "", "$144.00 succeeded"),
        ("payment", "", "$144.00 succeeded"),
        ("refund", "", "$9.00 succeeded"),
    ]
    assert (StaffTask.objects.open().filter(kind="books_differ").count(), broken()) == (4, ["M16"])
    assert {row.household for row in BookDifference.objects.filter(subject="payment")} == {
        order.household for order in orders
    }


def test_money_taken_from_a_family_by_hand_and_money_of_others(shop):
    by_hand, of_others = create_order(), create_order()
    for order in (by_hand, of_others):
        shop.pay(open_page(order))
    for order in (by_hand, of_others):
        table(shop, "payment_intent")[intent_of(shop, order)]["metadata"] = {}
    for row in table(shop, "charge").values():
        if row["customer"] == of_others.household.stripe_customer.stripe_id:
            row["customer"] = "cus_of_another_shop"

    look()

    [difference] = BookDifference.objects.all()
    assert (difference.household, difference.theirs) == (by_hand.household, "$144.00 paid")
    assert ComparedDay.objects.get(day=today()).foreign == 1


@pytest.mark.parametrize(
    ("currency", "shown"), [("usd", "$12,345.67"), ("jpy", "1234567 JPY"), ("kwd", "1234.567 KWD")]
)
def test_an_amount_of_others_is_shown_with_the_decimals_of_its_currency(currency, shown):
    assert amount_text(1234567, currency) == shown


def test_an_open_invoice_of_something_that_is_not_owed(shop):
    part = order_with_plan(shop)
    invoice_page(type(part).objects.select_related("order__household").get(pk=part.pk))
    look()
    assert found() == []
    type(part).objects.filter(pk=part.pk).update(status="waived")

    look()

    assert found() == [("invoice", "$72.00 waived", "$72.00 open")]


# --- Only here, or otherwise --------------------------------------------------------------------------------


def plant_payment(payment):
    Payment.objects.create(
        order=payment.order,
        amount_cents=100,
        currency="usd",
        stripe_payment_intent_id="pi_invented",
        received_at=timezone.now(),
    )


def plant_refund(payment, **fields):
    row = {
        "order": payment.order,
        "payment": payment,
        "amount_cents": 700,
        "currency": "usd",
        "method": "stripe",
        "cause": "staff",
        "reason": "x",
        "status": "succeeded",
        "approved_by": create_staff(),
    }
    return Refund.objects.create(**row | fields)


def plant_dispute(payment):
    Dispute.objects.create(
        stripe_id="du_invented",
        payment=payment,
        amount_cents=14400,
        currency="usd",
        status="won",
        opened_at=timezone.now(),
        closed_at=timezone.now(),
    )


def change(shop, name, **fields):
    for row in table(shop, name).values():
        row.update(fields)


@pytest.mark.parametrize(
    ("plant", "differences"),
    [
        (lambda shop, payment: plant_payment(payment), [("payment", "$1.00 paid", "")]),
        (
            lambda shop, payment: plant_refund(payment, stripe_refund_id="re_invented"),
            [("refund", "$7.00 given back", "")],
        ),
        (lambda shop, payment: plant_refund(payment), [("refund", "$7.00 given back", "")]),
        (lambda shop, payment: plant_dispute(payment), [("dispute", "$144.00 won", "")]),
        (
            lambda shop, payment: change(shop, "charge", amount_captured=10000),
            [("payment", "$144.00 paid", "$100.00 paid")],
        ),
        (
            lambda shop, payment: change(shop, "charge", currency="eur"),
            [("payment", "$144.00 paid", "144.00 EUR paid")],
        ),
        (
            lambda shop, payment: change(shop, "refund", amount=4999),
            [("refund", "$50.00 given back", "$49.99 given back")],
        ),
        (
            lambda shop, payment: Refund.objects.update(status="rejected"),
            [("refund", "$50.00 not given back", "$50.00 given back")],
        ),
    ],
)
def test_what_is_planted_on_either_side_is_found_and_goes_when_both_agree(shop, plant, differences):
    payment = paid(shop)
    approved(payment)
    refund_waiting()
    plant(shop, payment)

    look()
    look()

    assert found() == differences
    assert "M16" in broken()
    [task] = StaffTask.objects.open().filter(kind="books_differ")
    assert "https://dashboard.stripe.com/test/" in task.detail


def test_a_difference_closes_by_itself_and_opens_again_with_other_figures(shop):
    payment = paid(shop)
    change(shop, "charge", amount_captured=100)
    look()
    change(shop, "charge", amount_captured=14400)
    look()
    assert (found(), StaffTask.objects.open().count()) == ([], 0)

    change(shop, "charge", amount_captured=100)
    look()
    explain(difference=BookDifference.objects.open().get(), by=create_staff(), reason="a correction")
    look()
    assert (found(), StaffTask.objects.open().count()) == ([], 0)

    change(shop, "charge", amount_captured=200)
    look()
    assert found() == [("payment", "$144.00 paid", "$2.00 paid")]
    assert BookDifference.objects.get().stripe_id == payment.stripe_payment_intent_id


# --- Which days, and when -----------------------------------------------------------------------------------


def test_recent_days_and_those_never_compared_are_due_and_on_sundays_all(shop):
    wednesday = datetime.date(2026, 11, 25)
    payment = paid(shop)
    Payment.objects.create(
        order=payment.order,
        amount_cents=1,
        currency="usd",
        method="cash",
        received_at=datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC),
    )
    assert len(days_to_compare(on=wednesday)) == 26
    ComparedDay.objects.bulk_create(
        ComparedDay(day=datetime.date(2026, 11, day)) for day in range(1, 26) if day != 9
    )

    due = days_to_compare(on=wednesday)

    assert [day.day for day in due] == [9, *range(18, 27)]
    assert len(days_to_compare(on=wednesday, everything=True)) == 26
    OrmQ.objects.all().delete()
    assert (compare_books(on=wednesday).done, OrmQ.objects.count()) == (10, 11)
    assert compare_books(on=datetime.date(2026, 11, 29)).done == 30


def test_the_nightly_job_and_its_tasks(shop, monkeypatch):
    order = create_order()
    shop.pay(open_page(order))
    daily.compare_books()
    assert JobRun.objects.get(job="compare_books").status == "done"
    assert not compare_day(today(), budget_s=-1)
    monkeypatch.setattr(stripe_books, "compare_day", lambda day: False)
    OrmQ.objects.all().delete()

    tasks.compare_day(today())  # the time is up: another task takes it on

    assert ComparedDay.objects.count() == 0
    [waiting] = OrmQ.objects.all()
    assert waiting.func() == "billing.tasks.compare_day"


def test_a_day_that_stripe_does_not_answer_for_is_due_again(shop):
    paid(shop)
    shop.server.control("POST", "/_faults", [{"path": "/v1/charges", "kind": "drop_before", "times": 9}])

    assert compare_day(today())

    assert ComparedDay.objects.count() == 0
    assert found() == []


def test_a_copy_compares_nothing(shop):
    order = create_order()
    shop.pay(open_page(order))
    Instance.quarantine()

    assert compare_books(on=today()).done == 0
    compare_day(today())
    with pytest.raises(CommandError, match="Books were not compared"):
        call_command("reconcile_stripe", books="all")

    assert (Payment.objects.count(), ComparedDay.objects.count()) == (0, 0)


def test_the_command_says_what_differs(shop, capsys):
    payment = paid(shop)
    call_command("reconcile_stripe", books="recent")
    assert "differences=0" in capsys.readouterr().out
    plant_refund(payment, stripe_refund_id=f"re_{uuid.uuid4().hex}")

    with pytest.raises(CommandError, match="differ"):
        call_command("reconcile_stripe", books="all")

    assert "$7.00 given back; Stripe: nothing" in capsys.readouterr().out
