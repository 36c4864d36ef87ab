"""Invoices ended, paid or changed in Stripe's dashboard: one try, one task, and a way forward."""

import pytest
from django.utils import timezone

from billing.installments import staff_actions
from billing.installments.dunning import start_charges
from billing.installments.invoices import closed_invoice
from billing.ledger.refunds import ask_for_refund
from billing.models import ChargeAttempt, Installment, Payment
from billing.stripe import gateway
from csf.models import StaffTask
from csf.staff.tasks import close_settled
from tests.billing.story import PAID, story
from tests.factories import create_staff
from tests.hosted_page import invoice_page
from tests.shop import DUE, at_stripe, card_of, charge, hear, money_moved, order_with_plan, refused, run_days
from tests.stripe_events import deliver, work_off_inbox

REJECTED = {"installment": "exhausted", "attempts": ["rejected"], "paid": 0, "tasks": ["charge_rejected"]}


def fresh(installment):
    return Installment.objects.select_related("order__household").get(pk=installment.pk)


def invoiced(shop, *, finalize=True):
    """An installment whose invoice is at Stripe: the parent has looked at its page."""
    installment = fresh(order_with_plan(shop))
    if finalize:
        invoice_page(installment)
        return fresh(installment)
    made = gateway.create_invoice(
        customer=installment.order.household.stripe_customer.stripe_id,
        currency="usd",
        metadata={"installment": str(installment.public_id), "number": "1"},
        key="draft",
    )
    Installment.objects.filter(pk=installment.pk).update(stripe_invoice_id=made["id"])
    return fresh(installment)


def payable(shop, installment):
    """The invoices of this installment that could still take money."""
    found = shop.server.books()["invoices"].get(str(installment.public_id), [])
    return [row["id"] for row in found if row["status"] in {"open", "draft", "uncollectible"}]


ENDINGS = {
    "void": ("POST", "/void", True),
    "uncollectible": ("POST", "/mark_uncollectible", True),
    "deleted": ("DELETE", "", False),
}


def end(shop, how):
    method, step, finalize = ENDINGS[how]
    installment = invoiced(shop, finalize=finalize)
    at_stripe(shop, method, f"/v1/invoices/{installment.stripe_invoice_id}{step}")
    return installment


@pytest.mark.parametrize("how", ENDINGS)
def test_an_invoice_that_somebody_ended_is_tried_once(shop, how):
    installment = end(shop, how)

    run_days(installment)

    assert story(installment) == REJECTED
    assert payable(shop, installment) == []


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("after_days", [0, 2])
def test_the_parent_pays_what_somebody_ended_with_a_fresh_invoice(shop, how, after_days):
    installment = end(shop, how)
    run_days(installment, days=after_days)

    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid")

    assert (story(installment)["installment"], story(installment)["paid"]) == ("paid", 1)
    assert money_moved(shop, installment) == [installment.amount_cents]
    assert payable(shop, installment) == []


@pytest.mark.parametrize("how", ENDINGS)
def test_staff_charge_what_somebody_ended(shop, how):
    installment = end(shop, how)
    run_days(installment, days=1)

    staff_actions.retry_now(
        installment=fresh(installment), by=create_staff(), reason="asked", on=timezone.localdate()
    )
    charge()

    assert story(installment) == {**PAID, "attempts": ["rejected", "succeeded"], "tasks": ["charge_rejected"]}
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_an_act_that_fails_after_its_invoice_was_voided_leaves_a_part_that_can_be_paid(shop, monkeypatch):
    """Staff waive it, and the web process is killed after the void."""
    installment = invoiced(shop)
    void = staff_actions._void

    def void_and_die(part):
        void(part)
        raise RuntimeError("the web process was killed here")

    monkeypatch.setattr(staff_actions, "_void", void_and_die)
    with pytest.raises(RuntimeError):
        staff_actions.waive(installment=installment, by=create_staff(), reason="x")

    assert fresh(installment).status == "scheduled"
    assert payable(shop, installment) == []
    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid")
    assert story(installment) == {**PAID, "attempts": []}


def test_what_we_voided_ourselves_is_charged_on_its_day_as_if_nothing_had_been(shop):
    installment = invoiced(shop)
    closed_invoice(installment)

    run_days(installment, days=1)

    assert story(installment) == PAID
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_a_parameter_that_stripe_refuses_is_refused_once(shop, monkeypatch):
    installment = order_with_plan(shop)

    def refuse(*args, **options):
        raise refused("Invalid currency: usd", "currency", "parameter_invalid")

    monkeypatch.setattr(gateway, "create_invoice", refuse)

    run_days(installment)

    assert story(installment) == REJECTED


# --- Told by events -----------------------------------------------------------------------------------------

EVENTS = {"void": "invoice.voided", "uncollectible": "invoice.marked_uncollectible"}


@pytest.mark.parametrize("how", EVENTS)
def test_an_invoice_that_is_said_to_be_ended_is_held_and_a_person_decides(shop, how):
    installment = end(shop, how)

    for _ in range(2):
        hear(shop, *EVENTS.values())
    run_days(installment)

    held = {"installment": "scheduled", "attempts": [], "paid": 0, "tasks": ["invoice_ended"]}
    assert (story(installment), payable(shop, installment)) == (held, [])
    assert f"{installment.stripe_invoice_id} was made {how}" in StaffTask.objects.get().detail

    staff_actions.unhold(installment=fresh(installment), by=create_staff(), reason="by mistake")
    assert close_settled() == 1
    for event in shop.events(*EVENTS.values()):
        deliver({**event, "id": "evt_late"})
    work_off_inbox()
    run_days(installment, days=1)
    assert story(installment) == {**PAID, "tasks": []}
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_the_family_pays_what_is_held_for_its_ended_invoice_with_a_fresh_one(shop):
    installment = end(shop, "void")
    hear(shop, "invoice.voided")

    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid", "invoice.voided")

    assert (story(installment)["installment"], close_settled()) == ("paid", 1)


def test_what_we_void_ourselves_holds_nothing_even_if_it_is_told_at_once(shop):
    """The event is worked off before the process that voided it has gone on."""
    installment = invoiced(shop)
    gateway.void_invoice(installment.stripe_invoice_id, key=f"void:{installment.public_id}")

    hear(shop, "invoice.voided")

    assert (fresh(installment).held_at, StaffTask.objects.exists()) == (None, False)


def test_an_invoice_that_is_ended_while_its_charge_is_under_way_is_told_by_the_charge(shop):
    installment = invoiced(shop)
    start_charges(DUE, on=installment.due_on)
    at_stripe(shop, "POST", f"/v1/invoices/{installment.stripe_invoice_id}/void")

    hear(shop, "invoice.voided")
    charge()

    assert story(installment) == REJECTED


# --- Paid without a card ------------------------------------------------------------------------------------


def test_an_invoice_that_staff_mark_as_paid_outside_of_stripe_is_no_card_payment(shop):
    installment = invoiced(shop)

    at_stripe(shop, "POST", f"/v1/invoices/{installment.stripe_invoice_id}/pay", paid_out_of_band="true")
    hear(shop, "invoice.paid")

    assert story(installment) == {**PAID, "attempts": []}
    payment = Payment.objects.get(installment=installment)
    assert (payment.method, payment.amount_cents) == ("other", installment.amount_cents)
    refund = ask_for_refund(payment=payment, cents=500, reason="x", by=create_staff())
    assert refund.method == "other"


def test_a_charge_that_finds_its_invoice_paid_outside_of_stripe_charged_nothing(shop):
    installment = invoiced(shop)
    start_charges(DUE, on=installment.due_on)
    at_stripe(shop, "POST", f"/v1/invoices/{installment.stripe_invoice_id}/pay", paid_out_of_band="true")

    charge()
    hear(shop, "invoice.paid")

    assert story(installment) == {**PAID, "attempts": ["not_executed"]}
    assert Payment.objects.get(installment=installment).method == "other"
    assert money_moved(shop, installment) == []


@pytest.mark.parametrize("cents", [100, 1_000_000])
def test_an_invoice_that_was_paid_from_a_balance_at_stripe_breaks_nothing(shop, cents):
    """Partly, it is not charged, since the amount is not what was agreed; wholly, no money came."""
    installment = order_with_plan(shop)
    customer = installment.order.household.stripe_customer.stripe_id
    at_stripe(shop, "POST", f"/v1/customers/{customer}", balance=-cents)

    run_days(installment)
    hear(shop, "invoice.paid")

    assert story(installment) == REJECTED
    assert money_moved(shop, installment) == []
    staff_actions.waive(installment=fresh(installment), by=create_staff(), reason="balance at Stripe")
    assert story(installment)["installment"] == "waived"


def test_an_amount_that_was_paid_on_stripes_page_and_not_agreed_ends_the_charge(shop):
    """The money is recorded and reported, and the installment does not stay `charging` forever."""
    installment = invoiced(shop)
    start_charges(DUE, on=installment.due_on)
    attempt = installment.attempts.get()
    attempt.transition_to("sending")
    Installment.objects.filter(pk=installment.pk).update(amount_cents=installment.amount_cents - 100)
    card = card_of(installment).stripe_payment_method_id

    gateway.pay_invoice(installment.stripe_invoice_id, card=card, key=f"pay:{attempt.public_id}")
    hear(shop, "invoice.paid")

    assert story(installment) == {
        "installment": "exhausted",
        "attempts": ["succeeded"],
        "paid": 0,
        "tasks": ["unmatched_payment"],
    }
    assert ChargeAttempt.objects.on_saved_cards().waiting().count() == 0
