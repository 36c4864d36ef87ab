"""A child has a place in a class."""

from datetime import datetime, timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from csf import clock
from enrollments.models import EnrollmentStatus, EnrollmentTransition
from notifications.facts.recipients import enrolled_family
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ROBOTICS, SWIMMING, calendar, enrollment
from notifications.facts.snapshots import enrollment_snapshot
from notifications.spec import Email, RequiredFor, Trigger

ENROLLED_FROM = {EnrollmentStatus.HELD, EnrollmentStatus.RELEASED}


def owes(moved: EnrollmentTransition) -> bool:
    is_new = moved.to_status == EnrollmentStatus.ACTIVE and moved.from_status in ENROLLED_FROM
    # Paid when the class was cancelled already: the cancellation follows at once.
    return is_new and not moved.enrollment.course.cancelled_at


def expires(fact: EnrollmentTransition) -> datetime | None:
    """when the family's first session begins, after 24 hours at the earliest"""
    now = clock.now()
    to_come = [row.starts_at for row in fact.enrollment.course.sessions.all() if row.starts_at > now]
    return max(to_come[0], now + timedelta(hours=24)) if to_come else None


EMAIL = Email(
    kind="enrollment_confirmation",
    title=_("Enrollment confirmation"),
    when="a seat becomes active",
    topic="places",
    trigger=Trigger(EnrollmentTransition, owes=owes, order="enrollment__order_item__order"),
    required_for=RequiredFor(
        EnrollmentTransition.objects.filter(
            from_status__in=["held", "released"], to_status="active", enrollment__course__cancelled_at=None
        ),
        household="enrollment__child__household",
        about="enrollment",
    ),
    recipients=enrolled_family,
    family=attrgetter("enrollment.child.household_id"),
    snapshot=enrollment_snapshot,
    key=lambda fact: f"enrollment:{fact.enrollment_id}",
    accent="blue",
    is_copy_harmless=True,
    expires=expires,
    samples={
        "minimal": enrollment(ROBOTICS, first_name="", address="", sessions=0, dates=[], bring=[]),
        "typical": enrollment(SWIMMING, calendars=[calendar(SWIMMING)]),
        "with_a_session_off": enrollment(SWIMMING, off=["2026-10-21"], calendars=[calendar(SWIMMING)]),
        "huge": enrollment(
            ROBOTICS | {"course": f"{LONG} {LONG} {LONG}", "location": LONG, "address": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            sessions=104,
        ),
        "hostile": enrollment(HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE),
    },
)
