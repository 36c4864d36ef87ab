"""Which kind of email a change of status owes the family, if any."""

from billing.models import (
    ChargeAttempt,
    ChargeAttemptTransition,
    ChargeKind,
    ChargeStatus,
)
from enrollments.models import EnrollmentStatus, EnrollmentTransition, WaitlistTier
from enrollments.waitlist import LEFT_BY_FAMILY, OFFERS_ENDED
from notifications.facts.charges import NOT_PAID, is_for_waitlist_seat
from notifications.kinds import EmailKind
from orders.models import OrderStatus, OrderTransition
from orders.waitlist import is_promotion


def order_kind(moved: OrderTransition) -> EmailKind | None:
    """What the system orders from the waitlist is told when the outcome of its charge is known."""
    match moved.to_status:
        case OrderStatus.CONFIRMED if is_promotion(moved.order) and not _was_paid_by_parent(moved):
            return EmailKind.WAITLIST_PROMOTED
    return None


def _was_paid_by_parent(moved: OrderTransition) -> bool:
    """Who paid with another card after a decline knows it."""
    attempts = ChargeAttempt.objects.filter(installment__order=moved.order_id)
    return attempts.filter(kind=ChargeKind.CHECKOUT, status=ChargeStatus.SUCCEEDED).exists()


def charge_kind(moved: ChargeAttemptTransition) -> EmailKind | None:
    if is_for_waitlist_seat(moved) and moved.to_status in NOT_PAID:
        return EmailKind.WAITLIST_CHARGE_FAILED
    return None


def enrollment_kind(moved: EnrollmentTransition) -> EmailKind | None:
    enrollment = moved.enrollment
    match moved.to_status:
        case EnrollmentStatus.ACTIVE if moved.from_status in {
            EnrollmentStatus.HELD,
            EnrollmentStatus.RELEASED,
        }:
            # Paid when the class was cancelled already: the cancellation follows at once.
            return None if enrollment.course.cancelled_at else EmailKind.ENROLLMENT_CONFIRMATION
        case EnrollmentStatus.WAITLISTED if moved.reason == OFFERS_ENDED:
            return EmailKind.WAITLIST_LAPSED
        case EnrollmentStatus.WAITLISTED:  # has joined, or moved up to the priority tier
            return EmailKind.WAITLIST_JOINED
        case EnrollmentStatus.OFFERED if enrollment.tier == WaitlistTier.REGULAR:
            return EmailKind.WAITLIST_OFFER
        case EnrollmentStatus.LAPSED:
            return EmailKind.WAITLIST_LAPSED
        case EnrollmentStatus.DECLINED if moved.reason != LEFT_BY_FAMILY:
            return EmailKind.WAITLIST_LAPSED
        case EnrollmentStatus.RELEASED if enrollment.tier and moved.by_id is None:
            return EmailKind.WAITLIST_LAPSED
    return None
