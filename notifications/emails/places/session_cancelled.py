"""One session of a class is cancelled: each family with a place hears of it, and of the credit for it. If the
credit has to wait for a person, the family hears of the session all the same."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing.models import ClosureLineStatus, ClosureLineTransition, Credit
from enrollments.models import EnrollmentStatus, User
from notifications.facts.calendar import calendar_facts
from notifications.facts.recipients import guardians
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ROBOTICS, calendar, enrollment
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Email, Samples, Snapshot, Trigger


def owes(moved: ClosureLineTransition) -> bool:
    """A family that had already cancelled the place gets nothing."""
    line = moved.closureline
    is_handled = moved.to_status in {ClosureLineStatus.DONE, ClosureLineStatus.FAILED}
    is_session = line.closure.session_id is not None
    return is_handled and is_session and line.enrollment.status == EnrollmentStatus.ACTIVE


def snapshot(fact: ClosureLineTransition) -> Snapshot:
    line = fact.closureline
    session, enrollment = line.closure.session, line.enrollment
    assert session
    credit = Credit.objects.filter(closure_line=line).first()
    following = [
        row
        for row in enrollment.course.sessions.filter(cancelled_at=None)
        if row.starts_at > session.starts_at
    ]
    return (
        order_facts(enrollment.order_item.order)
        | course_facts(enrollment.course)
        | {
            "child": str(enrollment.child),
            "child_first_name": enrollment.child.first_name,
            "held_on": session.held_on.isoformat(),
            "session_start": session.start_time.isoformat(),
            "session_end": session.end_time.isoformat(),
            "reason": line.closure.reason,
            "credit_cents": credit.amount_cents if credit else 0,
            "credit_until": credit.expires_on.isoformat() if credit and credit.expires_on else None,
            "account_path": reverse("account"),
            "next_on": following[0].held_on.isoformat() if following else None,
            "calendars": calendar_facts(enrollment),
        }
    )


def recipients(fact: ClosureLineTransition) -> list[User]:
    return guardians(fact.closureline.enrollment.child.household)


def key(fact: ClosureLineTransition) -> str:
    line = fact.closureline
    return f"enrollment:{line.enrollment_id}:session:{line.closure.session_id}"


def expires(fact: ClosureLineTransition) -> datetime | None:
    """when that session would begin"""
    session = fact.closureline.closure.session
    return session.starts_at if session else None


def still_enrolled(facts: Iterable[int]) -> set[int]:
    lines = ClosureLineTransition.objects.filter(
        pk__in=facts, closureline__enrollment__status=EnrollmentStatus.ACTIVE
    )
    return set(lines.values_list("pk", flat=True))


def _off(course: Snapshot = ROBOTICS, **changes: object) -> Snapshot:
    facts = {
        "held_on": "2026-10-17",
        "session_start": "10:00:00",
        "session_end": "11:30:00",
        "reason": "The coach is ill.",
        "credit_cents": 1_800,
        "credit_until": "2027-10-12",
        "account_path": "/account/",
        "next_on": "2026-10-24",
        "calendars": [calendar(course)],
    }
    return enrollment(course) | facts | changes


SAMPLES: Samples = {
    "minimal": _off(first_name="", credit_cents=0, credit_until=None, next_on=None, address="", calendars=[]),
    "typical": _off(),
    "huge": _off(first_name=LONG, child=f"{LONG} {LONG}", child_first_name=LONG, reason=f"{LONG} " * 2),
    "hostile": _off(
        HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE, reason=HOSTILE
    ),
}

EMAIL = Email(
    kind="session_cancelled",
    title=_("Session cancelled"),
    when="one date of a class is cancelled",
    topic="places",
    trigger=Trigger(ClosureLineTransition, owes=owes, order="closureline__enrollment__order_item__order"),
    recipients=recipients,
    family=attrgetter("closureline.enrollment.child.household_id"),
    snapshot=snapshot,
    key=key,
    accent="orange",
    is_copy_harmless=True,
    expires=expires,
    priority=2,
    still_true=still_enrolled,
    samples=SAMPLES,
)
