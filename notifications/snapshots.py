"""What each email says, frozen as JSON values when its fact happens: cents, ISO dates, names, link paths.

Wording comes later, from the template; no template reads the database.
"""

from typing import Any

from billing.declines import decline_words
from billing.models import ChargeAttemptTransition, Installment, Payment
from billing.models.money import OPEN_INSTALLMENT
from enrollments.models import Course, EnrollmentTransition, Household, User
from orders.models import Order, OrderTransition

Snapshot = dict[str, Any]


def guardians(household: Household) -> list[User]:
    """Whom a family's mail goes to, never "whoever pressed the button"."""
    return list(household.guardians.order_by("pk")[:1])


def order_snapshot(fact: OrderTransition) -> Snapshot:
    order = fact.order
    items = order.items.select_related("child", "course__location")
    installments = list(order.installments.all())
    return _order_facts(order) | {
        "placed_at": order.placed_at and order.placed_at.isoformat(),
        "held_until": order.held_until and order.held_until.isoformat() if order.total_cents else None,
        "lines": [
            _course_facts(item.course)
            | {
                "child": str(item.child),
                "list_cents": item.list_cents,
                "net_cents": item.net_cents,
                "reductions": item.explanation,
            }
            for item in items
        ],
        "total_cents": order.total_cents,
        "schedule": [_installment_facts(part, len(installments)) for part in installments],
    }


def payment_snapshot(fact: Payment) -> Snapshot:
    parts = list(fact.order.installments.all())
    number = fact.installment.number if fact.installment else None
    return _order_facts(fact.order) | {
        "amount_cents": fact.amount_cents,
        "received_at": fact.received_at.isoformat(),
        "card_brand": fact.card_brand,
        "card_last4": fact.card_last4,
        "reference": str(fact.public_id)[:8].upper(),
        "number": number,
        "of": len(parts),
        "left_cents": sum(part.amount_cents for part in parts if part.status in OPEN_INSTALLMENT),
    }


def decline_snapshot(fact: ChargeAttemptTransition) -> Snapshot:
    attempt = fact.chargeattempt
    order = attempt.installment.order
    return _order_facts(order) | {
        "amount_cents": attempt.amount_cents,
        "failed_at": fact.created_at.isoformat(),
        "card_brand": attempt.card_brand,
        "card_last4": attempt.card_last4,
        "reason": decline_words(attempt.decline_code),
        "held_until": order.held_until and order.held_until.isoformat(),
    }


def cancellation_snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = fact.enrollment
    return (
        _order_facts(enrollment.order_item.order)
        | _course_facts(enrollment.course)
        | {
            "child": str(enrollment.child),
            "child_first_name": enrollment.child.first_name,
            "cancelled_at": fact.created_at.isoformat(),
        }
    )


def enrollment_snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = fact.enrollment
    course = enrollment.course
    days = [session.held_on for session in course.sessions.all()]
    return (
        _order_facts(enrollment.order_item.order)
        | _course_facts(course)
        | {
            "child": str(enrollment.child),
            "child_first_name": enrollment.child.first_name,
            "first_on": (days[0] if days else course.starts_on).isoformat(),
            "last_on": (days[-1] if days else course.ends_on).isoformat(),
            "sessions": len(days),
        }
    )


def _order_facts(order: Order) -> Snapshot:
    return {"order_number": order.number, "order_path": order.get_absolute_url()}


def _course_facts(course: Course) -> Snapshot:
    return {
        "course": course.title,
        "course_path": course.get_absolute_url(),
        "location": course.location.name,
        "address": course.location.address,
        "weekday": course.get_weekday_display(),
        "start_time": course.start_time.isoformat(),
        "end_time": course.end_time.isoformat(),
        "first_on": course.starts_on.isoformat(),
        "last_on": course.ends_on.isoformat(),
    }


def _installment_facts(part: Installment, of: int) -> Snapshot:
    return {
        "number": part.number,
        "of": of,
        "due_on": part.due_on.isoformat(),
        "amount_cents": part.amount_cents,
        "status": part.status,
    }
