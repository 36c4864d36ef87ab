"""Before a child's first session: where, when, and what to bring."""

import datetime
from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from csf import clock
from csf.jobs.schedules import daily_run_at
from enrollments.models import Enrollment, EnrollmentStatus
from notifications.facts.calendar import calendar_facts, place_states
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ROBOTICS, SWIMMING, calendar
from notifications.facts.snapshots import course_facts, things_to_bring
from notifications.facts.starting import ClassStart, starting
from notifications.spec import Choice, Email, Samples, Snapshot
from orders.models import Order

LOOK_AHEAD_DAYS = 366


def snapshot(start: ClassStart) -> Snapshot:
    place = start.place
    begins, ends = start.hours
    return course_facts(place.course) | {
        "child": str(place.child),
        "child_first_name": place.child.first_name,
        "starts_on": start.on.isoformat(),
        "session_start": begins.isoformat(),
        "session_end": ends.isoformat(),
        "bring": things_to_bring(place.course),
        "calendars": calendar_facts(place, state=start.state),
    }


def first_reminder_at(start: ClassStart) -> datetime.datetime:
    first_on = start.on - timedelta(days=settings.CLASS_REMINDER_DAYS)
    return daily_run_at("send_class_reminders", on=first_on)


def expires(start: ClassStart) -> datetime.datetime:
    """when that session begins"""
    return start.starts_at


def still_enrolled(facts: Iterable[int]) -> set[int]:
    places = Enrollment.objects.filter(
        pk__in=facts, status=EnrollmentStatus.ACTIVE, course__cancelled_at=None
    )
    return set(places.values_list("pk", flat=True))


def of_order(order: Order) -> ClassStart | None:
    """The first of its classes that has yet to begin."""
    today = clock.today()
    places: QuerySet[Any] = starting(after=today, until=today + timedelta(days=LOOK_AHEAD_DAYS))
    place = places.filter(order_item__order=order).order_by("first_on", "pk").first()
    return ClassStart(place, place_states([place.pk])[place.pk]) if place else None


def samples() -> Samples:
    return {
        "minimal": _sample(first_name="", address="", bring=[], calendars=[]),
        "typical": _sample(),
        "huge": _sample(
            ROBOTICS | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            bring=[f"{LONG} {number}" for number in range(40)],
        ),
        "hostile": _sample(
            HOSTILE_CLASS,
            first_name=HOSTILE,
            child=HOSTILE,
            child_first_name=HOSTILE,
            bring=[HOSTILE, HOSTILE],
        ),
    }


def _sample(course: Snapshot = SWIMMING, **changes: object) -> Snapshot:
    facts = {
        "first_name": "Maria",
        "child": "Noah Lopez",
        "child_first_name": "Noah",
        "starts_on": course["first_on"],
        "session_start": course["start_time"],
        "session_end": course["end_time"],
        "bring": ["A swimsuit and a towel", "Goggles, if you have some"],
        "calendars": [calendar(course)],
    }
    return course | facts | changes


EMAIL = Email(
    kind="class_starts_soon",
    title=_("Class starts soon"),
    when=(
        "daily job, `CLASS_REMINDER_DAYS` before a child's first session, "
        "unless the enrollment is as recent as that"
    ),
    choice=Choice("A class starts soon", "A few days before the first session: where and when."),
    group="service",
    of_order=of_order,
    recipients=its_recipients,
    family=attrgetter("place.child.household_id"),
    snapshot=snapshot,
    key=lambda start: f"enrollment:{start.pk}:starts:{start.on}",
    happened_at=first_reminder_at,
    accent="blue",
    is_copy_harmless=True,
    expires=expires,
    still_true=still_enrolled,
    samples=samples(),
)
