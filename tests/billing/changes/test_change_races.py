"""Cancelling while the card is charged, and a refund while the bank disputes its payment. Each with its
control: with the guard taken away, the damage shows."""

import pytest
from django.utils import timezone

from billing.changes import cancellation
from billing.changes.cancellation import cancel_enrollment, settle_waiting_cancellations
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.ledger import refund_sending, refunds
from billing.models import Cancellation, ChargeAttempt, Dispute, InstallmentStatus, Payment, Refund
from billing.stripe import gateway
from csf.proofs.invariants import violations
from enrollments.models import Enrollment, User
from orders.models import Order
from tests.billing.races import apart, at_once, meanwhile, rounds
from tests.shop import hear, order_with_plan

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]


def give_up(order):
    place = Enrollment.objects.get(order_item__order=order)
    cancel_enrollment(enrollment=place, by=order.placed_by, reason="moved away", now=timezone.now())


def charge(installment):
    start_charges([InstallmentStatus.SCHEDULED], on=installment.due_on)
    for attempt in ChargeAttempt.objects.on_saved_cards().filter(installment=installment):
        run_attempt(attempt.pk)


def money(shop, order):
    """What came in and what is to go back, in our rows, after the sweeps; and what Stripe has."""
    settle_waiting_cancellations()
    paid = sum(order.payments.values_list("amount_cents", flat=True))
    back = sum(order.refunds.values_list("amount_cents", flat=True))
    at_stripe = sum(row["amount_cents"] for row in shop.server.books()["charges"] if row["succeeded"])
    return paid, back, at_stripe


@rounds
def test_who_gives_up_while_the_card_is_charged_gets_all_of_it_back(shop, rounds):
    for _ in range(rounds):
        installment = order_with_plan(shop)
        order = Order.objects.get(pk=installment.order_id)
        at_once(lambda order=order: give_up(order), lambda part=installment: charge(part))

        paid, back, _ = money(shop, order)
        assert paid == back
        assert Cancellation.objects.get(order=order).status == "settled"
    assert violations() == []


def test_given_up_when_the_charge_is_already_on_its_way(shop, monkeypatch):
    installment = order_with_plan(shop)
    order = Order.objects.get(pk=installment.order_id)
    came_to = meanwhile(monkeypatch, gateway, "pay_invoice", lambda: give_up(order))

    charge(installment)

    assert came_to == [None]
    assert Cancellation.objects.get().status == "waiting"
    assert money(shop, order) == (14400, 14400, 14400)
    assert Cancellation.objects.get().status == "settled"
    assert violations() == []


def test_control_without_waiting_for_the_charge_its_money_stays(shop, monkeypatch):
    installment = order_with_plan(shop)
    order = Order.objects.get(pk=installment.order_id)
    none = ChargeAttempt.objects.none
    monkeypatch.setattr(cancellation, "open_attempts", lambda order: none())
    meanwhile(monkeypatch, gateway, "pay_invoice", lambda: give_up(order))

    charge(installment)

    paid, back, at_stripe = money(shop, order)
    assert (paid, at_stripe) == (14400, 14400)
    assert back < paid


def refund_of(shop, installment):
    """Approved, of the part that was paid at checkout."""
    payment = Payment.objects.get(order=installment.order_id)
    office, finance = (User.objects.create_user(f"{name}@example.org", is_staff=True) for name in "of")
    refund = refunds.ask_for_refund(payment=payment, cents=1000, reason="kind", by=office)
    refunds.approve(refund=refund, by=finance)
    return payment, refund


def dispute(shop, payment):
    shop.server.control("POST", "/_disputes", {"charge": payment.stripe_charge_id})
    hear(shop, "charge.dispute.created")


def test_no_refund_begins_once_the_payment_is_disputed(shop):
    payment, refund = refund_of(shop, order_with_plan(shop))
    apart(lambda: dispute(shop, payment))

    refund_sending.refund_waiting()

    refund.refresh_from_db()
    assert (refund.status, shop.server.books()["refunds"]) == ("approved", [])
    assert violations() == []


def test_disputed_in_the_moment_of_the_refund(shop, monkeypatch):
    payment, refund = refund_of(shop, order_with_plan(shop))
    meanwhile(monkeypatch, gateway, "create_refund", lambda: dispute(shop, payment))

    refund_sending.refund_waiting()

    refund.refresh_from_db()
    assert refund.status == "failed"  # Stripe refused it, and staff have a task
    assert (Dispute.objects.count(), shop.server.books()["refunds"]) == (1, [])
    assert violations() == []


def test_control_without_looking_for_disputes_it_is_asked_in_vain(shop, monkeypatch):
    payment, refund = refund_of(shop, order_with_plan(shop))
    dispute(shop, payment)
    monkeypatch.setattr(type(Refund.objects.all()), "waiting", lambda rows: rows.filter(status="approved"))

    refund_sending.refund_waiting()

    refund.refresh_from_db()
    assert refund.status == "failed"
