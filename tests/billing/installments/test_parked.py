"""Charges that have had no outcome for days: any change asks Stripe again, and staff can record what they
found."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.holds import expire_holds
from billing.installments import staff_actions
from billing.installments.charging import recover_charges
from billing.installments.dunning import start_charges
from billing.installments.found_at_stripe import record_charged, record_not_charged
from billing.installments.outcomes import look_later
from billing.models import ChargeAttempt, ChargeStatus, Installment, PaymentMethod
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from enrollments.models import Enrollment
from tests.billing.story import PAID, story
from tests.factories import create_staff
from tests.hosted_page import invoice_page
from tests.shop import DUE, card_of, charge, hear, money_moved, order_with_plan
from tests.waitlist import family, free, full_class, join, order_of, save_a_card, sweep_waitlist


def fresh(installment):
    return Installment.objects.select_related("order__household").get(pk=installment.pk)


def park(attempt):
    """Begun four days ago, and Stripe has not answered since."""
    ChargeAttempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(days=4))
    attempt = ChargeAttempt.objects.select_related("installment").get(pk=attempt.pk)
    if attempt.status == ChargeStatus.CREATED:
        attempt.transition_to(ChargeStatus.SENDING, tries=9)
    look_later(attempt, "the key was revoked over a long weekend")
    attempt.refresh_from_db()
    assert attempt.status == "parked"


def parked(shop):
    """Nothing ever arrived at Stripe."""
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    park(installment.attempts.get())
    return fresh(installment)


def charged_and_parked(shop, monkeypatch):
    """The money moved, and neither the answer nor the event came."""
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    pay = gateway.pay_invoice

    def pay_and_lose(*args, **options):
        pay(*args, **options)
        raise gateway.OutcomeUnknown("cut")

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "pay_invoice", pay_and_lose)
        charge()
    ChargeAttempt.objects.filter(installment=installment).update(status="sending")
    park(installment.attempts.get())
    return fresh(installment)


def silent(*args, **options):
    raise gateway.OutcomeUnknown("no answer")


GIVEN = {"reason": "asked Stripe"}
ACTS = {
    "charge": lambda part, by: staff_actions.retry_now(
        installment=part, by=by, on=timezone.localdate(), **GIVEN
    ),
    "offline": lambda part, by: staff_actions.record_offline(
        installment=part, by=by, method=PaymentMethod.CASH, received_at=timezone.now(), **GIVEN
    ),
    "move": lambda part, by: staff_actions.move_date(
        installment=part, by=by, to=part.due_on + timedelta(days=5), on=timezone.localdate(), **GIVEN
    ),
    "waive": lambda part, by: staff_actions.waive(installment=part, by=by, **GIVEN),
    "cancel": lambda part, by: staff_actions.cancel(installment=part, by=by, **GIVEN),
    "hold": lambda part, by: staff_actions.hold(installment=part, by=by, **GIVEN),
    "parent pays": lambda part, by: invoice_page(part),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_charge_that_was_given_up_after_three_days_has_a_way_out(shop, act):
    installment = parked(shop)

    ACTS[act](installment, create_staff())

    assert installment.attempts.get(number=1).status == "not_executed"
    assert [row for row in violations() if row.number == "M6"] == []


def test_it_is_looked_at_again_once_a_day(shop, monkeypatch):
    installment = charged_and_parked(shop, monkeypatch)
    recover_charges()
    assert story(installment)["attempts"] == ["parked"]

    ChargeAttempt.objects.update(next_look_at=timezone.now())
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "retrieve_invoice", silent)
        recover_charges()
    assert story(installment)["attempts"] == ["parked"]
    assert ChargeAttempt.objects.on_saved_cards().get().next_look_at > timezone.now() + timedelta(hours=23)

    ChargeAttempt.objects.update(next_look_at=timezone.now())
    recover_charges()
    assert story(installment) == {**PAID, "tasks": ["charge_unknown"]}
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_a_cancelled_place_of_an_order_with_a_parked_charge_is_settled(shop):
    installment = parked(shop)
    place = Enrollment.objects.get(order_item__order=installment.order)

    done = cancel_enrollment(enrollment=place, by=create_staff(), reason="x", now=timezone.now())

    assert (done.status, done.stopped_cents) == ("settled", installment.amount_cents)
    assert story(installment)["installment"] == "cancelled"


def test_money_that_moved_in_a_parked_charge_is_found_when_its_place_is_cancelled(shop, monkeypatch):
    installment = charged_and_parked(shop, monkeypatch)
    place = Enrollment.objects.get(order_item__order=installment.order)

    done = cancel_enrollment(enrollment=place, by=create_staff(), reason="x", now=timezone.now())

    assert (done.status, done.stopped_cents) == ("settled", 0)
    assert story(installment)["installment"] == "paid"
    assert done.refund_cents + done.credit_cents == 14400


def test_a_parked_charge_of_a_seat_from_the_waitlist_does_not_keep_the_seat_for_ever(shop):
    course = full_class()
    waiting = family("Lopez")
    save_a_card(shop, waiting)
    mine = join(waiting, course, "priority")
    free(course)
    sweep_waitlist()
    order = order_of(mine)
    park(ChargeAttempt.objects.on_saved_cards().get())

    expire_holds(now=timezone.now() + timedelta(days=20))

    order.refresh_from_db()
    mine.refresh_from_db()
    assert (order.status, mine.status) == ("expired", "released")


# --- What staff found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["in_", "pi_", "ch_"])
def test_staff_found_the_charge_at_stripe(shop, monkeypatch, kind):
    installment = charged_and_parked(shop, monkeypatch)
    money = next(
        row
        for row in shop.server.books()["charges"]
        if row["amount_cents"] == 7200
        and row["succeeded"]
        and row["payment_intent"] != installment.order.payments.get().stripe_payment_intent_id
    )
    ids = {"in_": installment.stripe_invoice_id, "pi_": money["payment_intent"], "ch_": money["id"]}

    record_charged(installment=installment, by=create_staff(), reason="x", stripe_id=f" {ids[kind]} ")

    assert story(installment) == {**PAID, "tasks": ["charge_unknown"]}
    assert installment.notes.get().text.startswith("looked up at Stripe: charged")


def test_what_staff_say_is_checked_at_stripe(shop, monkeypatch):
    installment, staff = charged_and_parked(shop, monkeypatch), create_staff()
    other = fresh(order_with_plan(shop))
    invoice_page(other)
    wrong = {
        "cash": "Copy the id",
        "in_nothing": "deleted|not a payment for this installment",
        "pi_nothing": "Copy the id",
        "ch_nothing": "No such charge",
        fresh(other).stripe_invoice_id: "not a payment for this installment",
    }

    for stripe_id, words in wrong.items():
        with pytest.raises(NotPossible, match=words):
            record_charged(installment=installment, by=staff, reason="x", stripe_id=stripe_id)
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "retrieve_invoice", silent)
        with pytest.raises(NotPossible, match="did not answer"):
            record_not_charged(installment=installment, by=staff, reason="x")
    assert story(installment)["attempts"] == ["parked"]

    with pytest.raises(NotPossible, match="it is paid"):
        record_not_charged(installment=installment, by=staff, reason="x")
    assert story(installment) == {**PAID, "tasks": ["charge_unknown"]}


def test_what_staff_found_not_charged_can_never_be_charged_late(shop):
    installment = fresh(order_with_plan(shop))
    page = invoice_page(installment)
    start_charges(DUE, on=installment.due_on)
    park(installment.attempts.get())

    record_not_charged(installment=fresh(installment), by=create_staff(), reason="x")

    assert story(installment) == {
        "installment": "retry_wait",
        "attempts": ["not_executed"],
        "paid": 0,
        "tasks": ["charge_unknown"],
    }
    old = gateway.retrieve_invoice(page.rpartition("/")[2])
    assert old["status"] == "void"
    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid")
    assert story(installment)["paid"] == 1
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_a_payment_that_is_still_processing_is_no_outcome(shop, monkeypatch):
    installment = fresh(order_with_plan(shop))
    invoice_page(installment)
    start_charges(DUE, on=installment.due_on)
    park(installment.attempts.get())
    get = gateway._get

    def processing(path, **params):
        answer = get(path, **params)
        if path == "/v1/invoice_payments":
            answer["data"][0]["payment"]["payment_intent"]["status"] = "processing"
        return answer

    monkeypatch.setattr(gateway, "_get", processing)
    with pytest.raises(NotPossible):
        staff_actions.waive(installment=fresh(installment), by=create_staff(), reason="x")

    assert story(installment)["attempts"] == ["parked"]
    assert card_of(installment).refused_at is None
    assert StaffTask.objects.open().count() == 1
