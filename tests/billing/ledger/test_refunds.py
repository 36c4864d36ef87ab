"""Money that goes back: approved by people, made at Stripe once, whatever answers are lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.installments import staff_actions
from billing.installments.pause import pause_charges
from billing.ledger import refunds
from billing.ledger.credits import grant
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund, record_handed_over, reject
from billing.models import CreditCause, Payment, PaymentMethod, Refund, RefundCause, RefundMethod
from billing.pages.order_changes import refund_state
from csf.models import Instance
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from csf.staff.fingerprint import fingerprint_of
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from tests.billing.refunds import (
    EVENTS,
    REFUND_FAILS_LATER,
    approved,
    asked,
    mails,
    open_tasks,
    paid,
    went_back,
)
from tests.factories import create_guardian, create_order, create_staff
from tests.shop import hear
from tests.waiting import Meeting

# --- People -------------------------------------------------------------------------------------------------


def test_asked_approved_made_and_told_once(shop):
    payment = paid(shop)
    staff, owner = create_staff(), create_staff()
    refund = asked(payment, by=staff)
    assert (refund.status, open_tasks()) == ("requested", ["refund_to_approve"])
    assert not refund_waiting()
    assert went_back(shop) == []

    approve(refund=refund, by=owner, reason="fine")
    with pytest.raises(NotPossible, match="already been decided"):
        approve(refund=refund, by=owner)
    refund_waiting()
    refund_waiting()

    refund.refresh_from_db()
    assert (refund.status, refund.approved_by, open_tasks()) == ("succeeded", owner, [])
    assert went_back(shop) == [5000]
    hear(shop, *EVENTS)
    hear(shop, *EVENTS)
    assert Refund.objects.count() == 1
    [mail] = EmailMessage.objects.filter(kind="refund_issued")
    assert mail.to == payment.order.household.guardians.get().email
    assert (mail.context["amount_cents"], mail.context["way_back"]) == (5000, "to Visa ending in 4242")
    assert violations() == []


def test_never_more_than_is_left_of_the_payment(shop):
    payment = paid(shop)
    asked(payment, 10_000)

    with pytest.raises(NotPossible, match=r"\$44\.00 of this payment"):
        asked(payment, 4401)
    asked(payment, 4400)
    with pytest.raises(NotPossible, match=r"\$0\.00 of this payment"):
        asked(payment, 1)


def test_one_person_cannot_refund_more_than_the_limit_in_slices(shop, settings):
    settings.REFUND_TWO_PERSON_CENTS = 5000
    payment, clerk, owner = paid(shop), create_staff(), create_staff()
    first = asked(payment, 5000, by=clerk)
    approve(refund=first, by=clerk)

    second, third = asked(payment, 1, by=clerk), asked(payment, 400, by=owner)
    with pytest.raises(NotPossible, match="above"):
        approve(refund=second, by=clerk)
    with pytest.raises(NotPossible, match="someone other than"):
        approve(refund=third, by=owner)
    approve(refund=second, by=owner)
    approve(refund=third, by=clerk)

    needed = Refund.objects.order_by("pk").values_list("needs_second_person", flat=True)
    assert list(needed) == [False, True, True]
    assert violations() == []


def test_slices_that_were_asked_for_before_any_was_approved_count_together(shop, settings):
    settings.REFUND_TWO_PERSON_CENTS = 5000
    payment, clerk = paid(shop), create_staff()
    slices = [asked(payment, 3000, by=clerk) for _ in range(3)]

    for refund in slices:
        with pytest.raises(NotPossible, match="someone other than"):
            approve(refund=refund, by=clerk)
    for refund in slices[1:]:
        reject(refund=refund, by=clerk, reason="one is enough")
    approve(refund=slices[0], by=clerk)

    assert Refund.objects.get(status="approved").amount_cents == 3000
    assert violations() == []


def family_member(household, number=0):
    """A guardian who is a superuser as well."""
    guardian = household.guardians.order_by("pk")[number]
    type(guardian).objects.filter(pk=guardian.pk).update(is_staff=True, is_superuser=True)
    guardian.refresh_from_db()
    return guardian


@pytest.mark.parametrize("who", [0, 1])
def test_nobody_gives_money_to_the_own_family(shop, who):
    """Neither guardian, not even as the owner of the school."""
    payment = paid(shop)
    household = payment.order.household
    part = create_order(household=household).installments.get()
    create_guardian(household=household)
    me, colleague = family_member(household, who), create_staff()
    cash = Payment.objects.create(
        order=payment.order, amount_cents=4000, currency="usd", method="cash", received_at=timezone.now()
    )
    in_cash = asked(cash, 4000, by=colleague)

    for refund in (asked(payment, by=me), asked(payment, by=colleague), in_cash):
        with pytest.raises(NotPossible, match="your own family"):
            approve(refund=refund, by=me)
    approve(refund=in_cash, by=colleague)
    with pytest.raises(NotPossible, match="your own family"):
        record_handed_over(refund=in_cash, by=me)
    gift = {"household": household, "cents": 100, "cause": CreditCause.GRANTED, "reason": "x"}
    with pytest.raises(NotPossible, match="your own family"):
        grant(**gift, on=timezone.localdate(), by=me)
    today, later = part.due_on, part.due_on + timedelta(days=30)
    for act, more in [
        (staff_actions.waive, {}),
        (staff_actions.cancel, {}),
        (staff_actions.hold, {}),
        (staff_actions.move_date, {"to": later, "on": today}),
        (staff_actions.split, {"first_cents": 5000, "second_on": later}),
        (staff_actions.record_offline, {"method": PaymentMethod.CASH, "received_at": timezone.now()}),
    ]:
        with pytest.raises(NotPossible, match="your own family"):
            act(installment=part, by=me, reason="x", **more)
    with pytest.raises(NotPossible, match="your own family"):
        pause_charges(order=part.order, by=me, reason="x")
    reject(refund=asked(payment, 1, by=me), by=me, reason="a mistake")
    assert household.credits.count() == 0


def test_a_rejected_one_is_told_only_if_the_family_was_promised_it(shop):
    payment, staff = paid(shop), create_staff()
    reject(refund=asked(payment), by=staff, reason="no")
    assert mails() == []
    parent = payment.order.household.guardians.get()
    cancel_enrollment(enrollment=Enrollment.objects.get(), by=parent, reason="x", now=timezone.now())
    [promised] = Refund.objects.filter(cause="cancellation")
    with pytest.raises(NotPossible, match="Give a reason"):
        reject(refund=promised, by=staff, reason=" ")

    reject(refund=promised, by=staff, reason="was paid in cash before")

    assert mails() == ["refund_rejected"]
    assert "cash before" not in str(EmailMessage.objects.get(kind="refund_rejected").context)
    assert open_tasks() == []
    assert violations() == []


def test_cash_is_handed_over_after_it_was_approved(shop):
    order = paid(shop).order
    cash = Payment.objects.create(
        order=order, amount_cents=4000, currency="usd", method="cash", received_at=timezone.now()
    )
    refund, staff = asked(cash, 4000), create_staff()
    with pytest.raises(NotPossible, match="not approved"):
        record_handed_over(refund=refund, by=staff)
    approve(refund=refund, by=staff)
    refund_waiting()
    assert went_back(shop) == []

    refund.refresh_from_db()
    record_handed_over(refund=refund, by=staff)
    with pytest.raises(NotPossible, match="already been handed over"):
        record_handed_over(refund=Refund.objects.get(pk=refund.pk), by=staff)

    assert EmailMessage.objects.get(kind="refund_issued").context["way_back"] == "in cash"
    with pytest.raises(NotPossible, match="by card"):
        record_handed_over(refund=approved(order.payments.get(method=PaymentMethod.STRIPE)), by=staff)


def test_money_that_could_not_go_back_by_card_can_go_back_another_way(shop):
    payment, staff = paid(shop, REFUND_FAILS_LATER), create_staff()
    with pytest.raises(NotPossible, match="the way it was paid"):
        ask_for_refund(payment=payment, cents=100, reason="x", by=staff, method=RefundMethod.CHECK)
    approved(payment)
    refund_waiting()
    shop.server.control("POST", "/_clock", {"advance": 24 * 3600})
    hear(shop, *EVENTS)
    failed = Refund.objects.get()
    assert "another way and will email" in refund_state(failed).text

    ways = {}
    for method, cents in [("check", 3000), ("credit", 2000)]:
        refund = ask_for_refund(
            payment=payment, cents=cents, reason=f"by {method}", by=staff, method=RefundMethod(method)
        )
        approve(refund=refund, by=create_staff())
        ways[method] = refund
    assert refund_state(failed).text == ""
    with pytest.raises(NotPossible, match="by credit"):
        record_handed_over(refund=ways["credit"], by=staff)
    record_handed_over(refund=ways["check"], by=staff)
    refund_waiting()

    assert went_back(shop) == []
    assert payment.order.household.credits.balance_cents() == 2000
    issued = EmailMessage.objects.filter(kind="refund_issued").order_by("pk")
    assert list(issued.values_list("context__way_back", flat=True)) == [
        "to Visa ending in 5126",
        "as credit on your account",
        "by check",
    ]
    assert violations() == []


def test_a_refund_that_was_made_after_the_backup_is_not_made_again(shop):
    payment = paid(shop)
    refund = approved(payment)  # in the backup: approved, not sent yet
    # The installation that was lost sent it right after; a day later Stripe has forgotten its key.
    made = {"payment_intent": payment.stripe_payment_intent_id, "amount": 5000}
    shop.server.control("POST", "/_refunds", made | {"metadata": {"refund": str(refund.public_id)}})
    Instance.quarantine()
    Instance.lift_quarantine()

    refund_waiting()
    hear(shop, *EVENTS)

    refund.refresh_from_db()
    assert (refund.status, went_back(shop), Refund.objects.count()) == ("succeeded", [5000], 1)
    assert mails() == ["refund_issued"]


# --- At the same time ---------------------------------------------------------------------------------------


def _two_at_once(payment):
    """Two members of staff ask for the whole payment in the same moment; returns what was asked for."""
    staff = [create_staff(), create_staff()]
    gate = Meeting()
    create = Refund.objects.create

    def ask(by):
        try:
            asked(payment, 14_400, by=by)
        except NotPossible:
            pass
        finally:
            connection.close()

    def create_together(**columns):
        gate.wait()
        return create(**columns)

    Refund.objects.create = create_together
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask, staff))
    finally:
        Refund.objects.create = create
    return list(Refund.objects.values_list("amount_cents", flat=True))


def test_two_at_once_cannot_ask_for_the_same_money(shop, committed_db):
    assert _two_at_once(paid(shop)) == [14_400]


def test_without_the_orders_lock_they_could(shop, committed_db, monkeypatch):
    payment = paid(shop)
    monkeypatch.setattr(refunds, "lock_order", lambda order_id: None)

    assert _two_at_once(payment) == [14_400, 14_400]


def test_approved_and_rejected_at_once_is_one_of_both(shop, committed_db):
    refund, staff = asked(paid(shop)), create_staff()
    acts = [
        lambda mine: approve(refund=mine, by=staff),
        lambda mine: reject(refund=mine, by=staff, reason="no"),
    ]

    def act(do):
        try:
            do(Refund.objects.get(pk=refund.pk))
        except NotPossible:
            return 0
        else:
            return 1
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(act, acts * 4)) == 1
    assert refund.transitions.count() == 1


# --- Late and double money ----------------------------------------------------------------------------------


def test_late_money_goes_back_by_itself(shop):
    payment = paid(shop)
    late = Payment.objects.create(
        order=payment.order,
        amount_cents=payment.amount_cents,
        currency="usd",
        stripe_payment_intent_id=payment.stripe_payment_intent_id + "_late",
        received_at=timezone.now(),
    )
    with transaction.atomic():
        refunds.refund_unmatched(late)

    refund = Refund.objects.get()
    assert (refund.status, refund.cause, refund.requested_by, refund.approved_by) == (
        "approved",
        RefundCause.UNMATCHED,
        None,
        None,
    )
    assert open_tasks() == ["refund_by_system"]
    assert violations() == []


def test_credit_that_paid_an_order_never_goes_to_a_card(db):
    order = create_order()
    household = order.household
    grant(household=household, cents=9000, cause=CreditCause.GRANTED, reason="x", on=timezone.localdate())
    household.credits.model.objects.create(
        household=household, amount_cents=-9000, cause=CreditCause.SPENT, order=order
    )
    order.installments.update(amount_cents=5400)
    Payment.objects.create(
        order=order,
        installment=order.installments.get(),
        amount_cents=5400,
        currency="usd",
        stripe_payment_intent_id="pi_rest",
        received_at=timezone.now(),
    )
    part = order.installments.get()
    part.start_charging()
    part.pay(reason="x")
    order.confirm(reason="x")

    done = cancel_enrollment(enrollment=Enrollment.objects.get(), by=None, reason="x", now=timezone.now())

    assert (done.refund_cents, done.credit_cents) == (5400, 9000)
    assert household.credits.balance_cents() == 9000


def test_money_that_came_outside_of_stripe_goes_back_outside_of_it(client, shop):
    order = paid(shop).order
    other = Payment.objects.create(
        order=order,
        amount_cents=4000,
        currency="usd",
        method=PaymentMethod.OTHER,
        stripe_invoice_id="in_paid_outside",
        received_at=timezone.now(),
    )
    staff = create_staff()
    client.force_login(staff)
    url = reverse("admin:billing_payment_act", args=[other.pk, "refund"])
    client.post(url, {"fingerprint": fingerprint_of(4000), "cents": "40.00", "reason": "x"})
    [refund] = other.refunds.all()

    approve(refund=refund, by=create_staff())
    record_handed_over(refund=refund, by=staff)

    assert (refund.status, went_back(shop), mails()) == ("succeeded", [], ["refund_issued"])
