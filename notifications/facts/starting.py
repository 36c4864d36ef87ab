"""Before a child's first session: where, when, and what to bring."""

import datetime
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Case, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, TruncDate

from enrollments.models import (
    Course,
    CourseSession,
    Enrollment,
    EnrollmentStatus,
    User,
)
from notifications.facts.calendar import PlaceState, entered_at
from notifications.facts.readers import readers

ENROLLED = [EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER]


@dataclass(frozen=True)
class ClassStart:
    """The first session of a place, read by `starting`."""

    place: Any
    state: PlaceState
    """For its calendar file."""
    amount_cents: int = 0

    def __str__(self) -> str:
        return str(self.place)

    @property
    def pk(self) -> int:
        return int(self.place.pk)

    @property
    def row(self) -> "ClassStart":
        return self

    @property
    def recipients(self) -> list[User]:
        return list(self.place.child.household.guardians.all())

    @property
    def on(self) -> datetime.date:
        first_on: datetime.date = self.place.first_on
        return first_on

    @property
    def hours(self) -> tuple[datetime.time, datetime.time]:
        course = self.place.course
        first = (row for row in course.sessions.all() if row.held_on == self.on and not row.cancelled_at)
        session = next(first, course)  # a class without dated sessions
        return session.start_time, session.end_time

    @property
    def starts_at(self) -> datetime.datetime:
        return datetime.datetime.combine(self.on, self.hours[0], ZoneInfo(settings.SCHOOL_TIME_ZONE))


def starting(*, after: datetime.date, until: datetime.date) -> QuerySet[Enrollment]:
    """Places whose first session is in that time, with all that the email says.

    Adds `enrolled_on`, when the place was paid for or moved to, and `first_on`.
    """
    zone = ZoneInfo(settings.SCHOOL_TIME_ZONE)
    sessions = CourseSession.objects.filter(course=OuterRef("course"))
    to_come = sessions.filter(cancelled_at=None, held_on__gte=OuterRef("enrolled_on"))
    without_sessions = Case(When(~Exists(sessions), then=F("course__starts_on")))
    window = (after + timedelta(days=1), until)
    soon = CourseSession.objects.filter(course=OuterRef("pk"), held_on__range=window)
    # `first_on` alone would be looked up for every place that there is.
    begins = Course.objects.filter(Q(starts_on__range=window) | Exists(soon), cancelled_at=None)
    places = Enrollment.objects.filter(status__in=ENROLLED, course__in=begins)
    return (
        places.annotate(enrolled_on=TruncDate(Coalesce(entered_at(), "created_at"), tzinfo=zone))
        .annotate(
            first_on=Coalesce(
                Subquery(to_come.order_by("held_on", "start_time").values("held_on")[:1]), without_sessions
            )
        )
        .filter(first_on__range=window)
        .select_related("child__household", "course__location")
        .prefetch_related(
            "course__sessions", "course__changes", Prefetch("child__household__guardians", readers())
        )
    )


def why_not(start: ClassStart) -> str:
    """Why nobody is reminded, if so."""
    if start.place.status == EnrollmentStatus.ON_OFFER:
        return "someone on the waitlist may take the place over"
    # A second email with the same words, a few days after the first, would be annoying.
    if (start.on - start.place.enrolled_on).days <= settings.CLASS_REMINDER_DAYS:
        return "enrolled so late that the confirmation has just said it"
    return ""
