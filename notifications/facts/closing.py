"""What the emails about a class or a session that does not take place say."""

from collections.abc import Iterable
from datetime import datetime

from django.urls import reverse

from billing.models import Cancellation, ClosureLineStatus, ClosureLineTransition, Credit
from enrollments.models import EnrollmentStatus, User
from notifications.facts.calendar import calendar_facts
from notifications.facts.recipients import guardians
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Snapshot


def is_session_cancelled(fact: ClosureLineTransition) -> bool:
    """Whether the family of a place is told now: who had given it up before is not."""
    line = fact.closureline
    is_done = fact.to_status == ClosureLineStatus.DONE and line.closure.session_id is not None
    return is_done and line.enrollment.status == EnrollmentStatus.ACTIVE


def family(fact: ClosureLineTransition) -> list[User]:
    return guardians(fact.closureline.enrollment.child.household)


def key(fact: ClosureLineTransition) -> str:
    line = fact.closureline
    return f"enrollment:{line.enrollment_id}:session:{line.closure.session_id}"


def expires(fact: ClosureLineTransition) -> datetime | None:
    session = fact.closureline.closure.session
    return session.starts_at if session else None


def still_enrolled(facts: Iterable[int]) -> set[int]:
    lines = ClosureLineTransition.objects.filter(
        pk__in=facts, closureline__enrollment__status=EnrollmentStatus.ACTIVE
    )
    return set(lines.values_list("pk", flat=True))


def session_snapshot(fact: ClosureLineTransition) -> Snapshot:
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


def closed_because(cancellation: Cancellation) -> str:
    """The school's reason, if the whole class does not take place."""
    return cancellation.closure.reason if cancellation.closure else ""
