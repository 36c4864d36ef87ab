"""What the emails about the waitlist say, and until when they are true."""

from collections.abc import Iterable
from datetime import datetime

from billing.changes.waitlist import price_cents
from billing.ledger.signed_links import offer_token
from billing.models import ChargeAttempt, ChargeAttemptTransition, ChargeStatus
from csf import clock
from csf.web.fast_reverse import path_to
from enrollments.endings import ENDED
from enrollments.models import Enrollment, EnrollmentStatus, EnrollmentTransition
from enrollments.models.seats import WAITING
from notifications.facts.snapshots import attempt_facts, course_facts, order_facts
from notifications.spec import Snapshot
from orders.models import Order, OrderStatus, OrderTransition

# Why a place ended, in the words of the status that it came to.
OFFER, UNPAID, CLOSED, CANCELLED, OVER = "offer", "unpaid", "closed", "cancelled", "ended"
STARTED = "started"
WHY = {
    EnrollmentStatus.LAPSED: OFFER,
    EnrollmentStatus.RELEASED: UNPAID,
    EnrollmentStatus.DECLINED: CLOSED,
    EnrollmentStatus.WAITLISTED: STARTED,
}


def _place_facts(enrollment: Enrollment) -> Snapshot:
    return course_facts(enrollment.course) | {
        "child": str(enrollment.child),
        "child_first_name": enrollment.child.first_name,
    }


def _order_place_facts(order: Order) -> Snapshot:
    return order_facts(order) | _place_facts(Enrollment.objects.get(order_item__order=order))


def joined_snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = Enrollment.objects.with_position().get(pk=fact.enrollment_id)
    consent = getattr(enrollment, "waitlist_consent", None)
    return _place_facts(enrollment) | {
        "position": enrollment.position,
        "tier": enrollment.tier,
        "at_most_cents": consent and consent.at_most_cents,
        "leave_path": path_to("leave_waitlist", enrollment.public_id),
    }


def joined_key(fact: EnrollmentTransition) -> str:
    return f"enrollment:{fact.enrollment_id}:joined:{fact.enrollment.tier}"


def still_waiting(facts: Iterable[int]) -> set[int]:
    waiting = EnrollmentTransition.objects.filter(pk__in=facts, enrollment__status__in=WAITING)
    return set(waiting.values_list("pk", flat=True))


def offer_snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = fact.enrollment
    assert enrollment.expires_at is not None
    token = offer_token(enrollment)
    return _place_facts(enrollment) | {
        "ends_at": enrollment.expires_at.isoformat(),
        "price_cents": price_cents(enrollment.child, enrollment.course, now=clock.now()),
        "instead_of_charge": enrollment.priority_at is not None,
        "accept_path": path_to("offer", token),
        "decline_path": path_to("decline_offer", token),
    }


def offer_expires(fact: EnrollmentTransition) -> datetime | None:
    return fact.enrollment.expires_at


def still_offered(facts: Iterable[int]) -> set[int]:
    offered = EnrollmentTransition.objects.filter(
        pk__in=facts, enrollment__status=EnrollmentStatus.OFFERED, enrollment__expires_at__gt=clock.now()
    )
    return set(offered.values_list("pk", flat=True))


def lapsed_key(fact: EnrollmentTransition) -> str:
    what = "offers_ended" if fact.to_status == EnrollmentStatus.WAITLISTED else "lapsed"
    return f"enrollment:{fact.enrollment_id}:{what}"


def lapsed_snapshot(fact: EnrollmentTransition) -> Snapshot:
    course = fact.enrollment.course
    closure = course.closures.filter(session=None).first() if course.cancelled_at else None
    why = OVER if fact.reason == ENDED else WHY[EnrollmentStatus(fact.to_status)]
    return _place_facts(fact.enrollment) | {
        "why": CANCELLED if closure else why,
        "closed_because": closure.reason if closure else "",
    }


def promoted_snapshot(fact: OrderTransition) -> Snapshot:
    order = fact.order
    charged = ChargeAttempt.objects.filter(installment__order=order, status=ChargeStatus.SUCCEEDED)
    attempt = charged.select_related("card").first()
    card = attempt.card if attempt else None
    return _order_place_facts(order) | {
        "amount_cents": order.total_cents,
        "card_brand": card.brand if card else "",
        "card_last4": card.last4 if card else "",
    }


def charge_failed_snapshot(fact: ChargeAttemptTransition) -> Snapshot:
    attempt = fact.chargeattempt
    order = attempt.installment.order
    return (
        _order_place_facts(order)
        | attempt_facts(fact)
        | {
            "held_until": order.held_until and order.held_until.isoformat(),
            "card_brand": attempt.card.brand if attempt.card else "",
            "card_last4": attempt.card.last4 if attempt.card else "",
            "needs_auth": fact.to_status == ChargeStatus.NEEDS_AUTH,
            "is_declined": fact.to_status == ChargeStatus.DECLINED,
        }
    )


def charge_failed_expires(fact: ChargeAttemptTransition) -> datetime | None:
    return fact.chargeattempt.installment.order.held_until


def still_unpaid(facts: Iterable[int]) -> set[int]:
    unpaid = ChargeAttemptTransition.objects.filter(
        pk__in=facts, chargeattempt__installment__order__status=OrderStatus.PLACED
    )
    return set(unpaid.values_list("pk", flat=True))
