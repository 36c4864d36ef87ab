"""The content of each email, frozen as JSON values when its fact happens: cents, ISO dates, names, link
paths.

Wording comes later, from the template; no template reads the database.
"""

from typing import Any

from billing.ledger.signed_links import pay_link_path
from billing.models import (
    Card,
    ChargeAttempt,
    ChargeAttemptTransition,
    Installment,
)
from billing.stripe.decline_codes import decline_words
from csf.web.fast_reverse import fixed_path
from enrollments.models import Course, EnrollmentTransition
from notifications.facts.calendar import calendar_facts
from notifications.facts.due import with_story
from notifications.spec import Snapshot
from orders.models import Order, OrderItem


def installment_with_story(fact: ChargeAttemptTransition) -> Installment:
    return with_story(Installment.objects.filter(pk=fact.chargeattempt.installment_id)).get()


def attempt_facts(fact: ChargeAttemptTransition) -> Snapshot:
    attempt: ChargeAttempt = fact.chargeattempt
    return {
        "amount_cents": attempt.amount_cents,
        "failed_at": fact.created_at.isoformat(),
        "card_brand": attempt.card_brand,
        "card_last4": attempt.card_last4,
        "reason": decline_words(attempt.decline_code),
    }


def enrollment_snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = fact.enrollment
    course = enrollment.course
    item = enrollment.order_item
    off = [row for row in course.sessions.all() if row.cancelled_at and row.held_on >= item.first_on]
    return (
        order_facts(item.order)
        | course_facts(course)
        | bought_facts(item)
        | {
            "child": str(enrollment.child),
            "child_first_name": enrollment.child.first_name,
            "dates": [session.held_on.isoformat() for session in item.sessions],
            "bring": things_to_bring(course),
            "off": [session.held_on.isoformat() for session in off],
            "calendars": calendar_facts(enrollment),
        }
    )


def bought_facts(item: OrderItem) -> Snapshot:
    """The sessions that the family pays for: of a class that had begun, those that were left."""
    days = [session.held_on for session in item.sessions]
    return {
        "first_on": (days[0] if days else item.course.starts_on).isoformat(),
        "last_on": (days[-1] if days else item.course.ends_on).isoformat(),
        "sessions": len(days),
    }


def things_to_bring(course: Course) -> list[str]:
    return [line.strip() for line in course.what_to_bring.splitlines() if line.strip()]


def order_facts(order: Order) -> Snapshot:
    return {"order_number": order.number, "order_path": order.get_absolute_url()}


def installment_story(installment: Any) -> Snapshot:
    """Of an installment that was read `with_story`. Its link needs no login."""
    order = installment.order
    return (
        order_facts(order)
        | installment_facts(installment, installment.of)
        | {
            "left_cents": installment.left_cents or 0,
            "pay_path": pay_link_path(installment),
            "places": installment.places,
        }
    )


def card_facts(card: Card | None) -> Snapshot:
    return {
        "card_brand": card.brand if card else "",
        "card_last4": card.last4 if card else "",
        "card_path": fixed_path("change_card"),
    }


def course_facts(course: Course) -> Snapshot:
    return {
        "course": course.title,
        "course_path": course.get_absolute_url(),
        "location": course.location.name,
        "address": course.location.address,
        "weekday": course.get_weekday_display(),
        "start_time": course.start_time.isoformat(),
        "end_time": course.end_time.isoformat(),
        "first_on": course.first_on.isoformat(),
        "last_on": course.last_on.isoformat(),
    }


def installment_facts(part: Installment, of: int) -> Snapshot:
    return {
        "number": part.number,
        "of": of,
        "due_on": part.due_on.isoformat(),
        "amount_cents": part.amount_cents,
        "status": part.status,
    }
