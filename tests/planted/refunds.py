"""Money that goes back: cancellations, refunds, disputes, credit and closed classes."""

from datetime import time

from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.models import (
    Cancellation,
    Closure,
    ClosureLine,
    Credit,
    Dispute,
    Refund,
    RefundTransition,
    Terms,
)
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance, StaffTask
from enrollments.models import CourseSession
from notifications.models import EmailMessage
from tests.factories import create_staff
from tests.planted.school import (
    DAY,
    HOUR,
    change,
    drop,
    family,
    guardian,
    move,
    order_of,
    places,
    today,
)


def cancellation():
    return Cancellation.objects.get()


def given_up(**columns):
    """A place of the paid order is given up, and its family is told these figures."""
    place = places("Paid")[0]
    place.cancel(by=None, reason="a test")
    values = {"terms": "refund", "value_cents": 14400, "requested_at": timezone.now(), "reason": "a test"}
    return Cancellation.objects.create(order=order_of("Paid"), enrollment=place, **values | columns)


def states_another_refund():
    change(cancellation(), refund_cents=cancellation().refund_cents - 1)


def kept_what_is_not_owed():
    given_up().settle(stopped_cents=0, refund_cents=0, credit_cents=0, stops=[])


def cancellation_of_another_order():
    place = places("Paid")[0]
    done = cancel_enrollment(
        enrollment=place, by=create_staff(), reason="-", now=timezone.now(), terms=Terms.NOTHING
    )
    Cancellation.objects.filter(pk=done.pk).update(order=order_of("Promo"))
    history = done.transitions.all()
    other = guardian("Promo")
    EmailMessage.objects.filter(kind="cancellation_confirmation", fact_id__in=history.values("pk")).update(
        recipient=other, to=other.email
    )


def cancellation_that_jumped():
    change(cancellation(), status="waiting")


def cancellation_that_waits():
    change(given_up(), created_at=Now() - 2 * HOUR)


# --- Refunds ------------------------------------------------------------------------------------------------


def made():
    return Refund.objects.get(order=order_of("Given"))


def refund(*path, ago=None, task=MoneyTask.REFUND_TO_APPROVE, **columns):
    """Of a part of the paid order, asked for and approved by two of the staff."""
    payment = order_of("Paid").payments.earliest("pk")
    values = {"amount_cents": 1000, "currency": "usd", "method": "stripe", "cause": "staff", "reason": "-"}
    row = Refund.objects.create(
        order=payment.order, payment=payment, requested_by=create_staff(), **values | columns
    )
    if task:
        StaffTask.open(task, row)
    move(row, *path, ago=ago, **({"approved_by": create_staff()} if path else {}))
    return row


def refunded_too_much():
    change(made(), amount_cents=14401)
    change(cancellation(), refund_cents=14401)


def approved_by_nobody():
    change(made(), approved_by=None)


def approved_by_who_asked():
    drop(Refund, "needs_second_person")
    change(made(), approved_by=made().requested_by, needs_second_person=True)


def by_rule_above_the_limit():
    change(made(), is_by_rule=True, needs_second_person=True)


def approved_to_the_own_family():
    user = guardian("Given")
    change(user, is_staff=True)
    change(made(), approved_by=user)


def refunded_in_another_currency():
    change(made(), currency="eur")


def refunds_with_one_key():
    drop(Refund, "public_id")
    change(refund(), public_id=made().public_id)


def made_without_stripes_id():
    change(made(), stripe_refund_id=None)


def refund_that_jumped():
    change(made(), status="failed")
    StaffTask.open(MoneyTask.REFUND_FAILED, made())


def refund_without_an_answer():
    refund("approved", "sending", ago=2 * HOUR)


def refund_whose_outcome_is_unknown():
    refund("approved", "sending", "unknown", ago=2 * HOUR)


def refund_never_sent():
    refund("approved", ago=3 * DAY)


def refund_that_nobody_was_asked_about():
    refund(task=None)


def refund_that_failed_in_silence():
    refund("approved", "sending", "failed")


def refund_in_quarantine():
    Instance.begin()
    Instance.objects.update(quarantined_at=Now() + HOUR)
    row = refund("approved")
    RefundTransition.objects.create(
        refund=row, from_status="approved", to_status="sending", created_at=Now() + 2 * HOUR
    )
    change(row, status="sending", stripe_refund_id="re_pending")


# --- Disputes -----------------------------------------------------------------------------------------------


def lost_and_not_booked():
    dispute = Dispute.objects.get()
    change(dispute, status="lost", closed_at=Now())
    StaffTask.open(MoneyTask.DISPUTE_DECIDED, dispute)


def disputed_and_charging():
    change(order_of("Disputed"), charges_paused_at=None)


def disputed_in_silence():
    StaffTask.objects.filter(kind=MoneyTask.DISPUTE).delete()


# --- Closed classes -----------------------------------------------------------------------------------------


def closed_session(**columns):
    place = places("Paid")[0]
    session = CourseSession.objects.create(
        course=place.course, held_on=today() + 30 * DAY, start_time=time(16), end_time=time(17)
    )
    closure = Closure.objects.create(
        course=place.course, session=session, terms="nothing", reason="-", by=create_staff(), **columns
    )
    return ClosureLine.objects.create(closure=closure, enrollment=place)


def line_that_jumped():
    change(closed_session(), status="done")


def closure_not_worked_off():
    closed_session(created_at=Now() - 2 * DAY)


# --- Credit -------------------------------------------------------------------------------------------------


def credit(name, cents, cause, **columns):
    return Credit.objects.create(household=family(name), amount_cents=cents, cause=cause, **columns)


def overdrawn():
    credit("Paid", -600, "taken_back")


def ran_out_twice():
    given = Credit.objects.get(cause="granted")
    for _ in range(2):
        credit("Paid", -300, "expired", grant=given)
    credit("Paid", 500, "refund", order=order_of("Paid"))


def given_back_unspent():
    credit("Late", 500, "returned", order=order_of("Late"))


def credit_for_another_familys_order():
    credit("Paid", 500, "refund", order=order_of("Late"))


def credit_for_nothing():
    credit("Paid", 500, "cancellation")


def credit_for_no_session():
    credit("Paid", 500, "session")


def spent_and_given_back_twice():
    drop(Credit, "(order_id, cause)")
    for cents, cause in ((-100, "spent"), (100, "returned")) * 2:
        credit("Late", cents, cause, order=order_of("Late"))


PLANTS = {
    "M3 cancellations whose figures differ from what they did": [states_another_refund],
    "M3 cancellations and moves of another order than their place": [cancellation_of_another_order],
    "M7 refunds that share a key": [refunds_with_one_key],
    "M8 orders paid above what is owed, without a refund or a staff task": [kept_what_is_not_owed],
    "M10 payments with refunds above them": [refunded_too_much],
    "M10 refunds without an approver, or above the limit and approved by their requester": [
        approved_by_nobody,
        approved_by_who_asked,
        by_rule_above_the_limit,
    ],
    "M10 refunds approved by a member of the same family": [approved_to_the_own_family],
    "M10 refunds of another order or currency than their payment": [refunded_in_another_currency],
    "M10 refunds that were made and have no Stripe id": [made_without_stripes_id],
    "M10 lost disputes whose loss is not booked": [lost_and_not_booked],
    "M11 disputed payments whose order is still charged": [disputed_and_charging],
    "M13 cancellations in a state that they cannot be in": [cancellation_that_jumped],
    "M13 refunds in a state that they cannot be in": [refund_that_jumped],
    "M13 lines of a closed class in a state that they cannot be in": [line_that_jumped],
    "M15 families with less than no credit": [overdrawn],
    "M15 credit of which more expired than was given": [ran_out_twice],
    "M15 credit that is not its order's": [given_back_unspent, credit_for_another_familys_order],
    "M15 credit without the cancellation or move it was given for": [
        credit_for_nothing,
        credit_for_no_session,
    ],
    "M15 orders that took or gave back credit twice": [spent_and_given_back_twice],
    "Y1 refunds without an outcome for an hour, and no staff task": [
        refund_without_an_answer,
        refund_whose_outcome_is_unknown,
    ],
    "Y1 refunds approved two days ago and not sent": [refund_never_sent],
    "Y1 refunds to approve without a staff task": [refund_that_nobody_was_asked_about],
    "Y1 failed refunds without a staff task": [refund_that_failed_in_silence],
    "Y1 disputes without a staff task": [disputed_in_silence],
    "Y1 cancellations waiting for an hour, and no staff task": [cancellation_that_waits],
    "Y1 cancelled classes whose families still wait after a day": [closure_not_worked_off],
    "Y3 refunds sent in quarantine": [refund_in_quarantine],
}
