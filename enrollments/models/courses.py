import datetime
from collections.abc import Collection, Iterable
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.db.models import Aggregate, Count, Exists, F, Max, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.functional import cached_property

from csf.clock import Now
from csf.dates import local_date
from csf.templatetags.csf_format import day
from csf.web.maps import map_url
from enrollments.models.people import Household


class Program(models.Model):
    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True)
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Archived: hidden from lists and choices since then."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Location(models.Model):
    name = models.CharField(max_length=100, unique=True)
    address = models.CharField(max_length=200)
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Archived: hidden from lists and choices since then."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def map_url(self) -> str:
        return map_url(self.name, self.address)


class CourseQuerySet(models.QuerySet["Course"]):
    def published(self) -> Self:
        return self.filter(is_published=True)

    def visible_to(self, household: Household | None) -> Self:
        """Those whose page a parent may look at: for a hidden class, only families that have or had a place
        in it."""
        if household is None:
            return self.published()
        places = self.model.objects.filter(pk=OuterRef("pk"), enrollments__child__household=household)
        return self.filter(Q(is_published=True) | Exists(places))

    def current(self, on: datetime.date) -> Self:
        """Those whose last session is on that day or later: see `Course.has_ended`."""
        return self.alias(ends=_last_session_on()).filter(ends__gte=on)

    def ended(self, on: datetime.date) -> Self:
        return self.alias(ends=_last_session_on()).filter(ends__lt=on)

    def offered(self, on: datetime.date) -> Self:
        """Neither over nor cancelled."""
        return self.current(on).filter(cancelled_at=None)

    def for_age(self, age: int) -> Self:
        """Those for children who are this old on the first day."""
        return self.filter(age_min__lte=age, age_max__gte=age)

    def with_places(self) -> Self:
        """Adds `taken`: how many seats are occupied by holds, offers and enrollments; and `waiting`: how many
        children wait to be offered one.

        A subquery counts only for the rows of one page; a join counts for all classes (20 times slower at
        2,000).
        """
        return self.annotate(
            taken=_children_of_each(enrollments__seat_number__isnull=False),
            waiting=_children_of_each(
                enrollments__status="waitlisted", enrollments__offers_ended_at__isnull=True
            ),
        )

    def with_openings(self, now: datetime.datetime) -> Self:
        """Those with a place left that can be registered for now or later. Needs `with_places`."""
        return self.filter(capacity__gt=F("taken") + F("waiting"), registration_closes_at__gt=now)

    def with_days(self) -> Self:
        """Adds `first_on` and `last_on` for many classes."""
        return self.annotate(first_on=_first_session_on(), last_on=_last_session_on())

    def for_catalog(self) -> Self:
        classes = self.published().for_pages()
        return classes.order_by("program__name", "starts_on", "title", "pk")

    def for_pages(self) -> Self:
        return self.with_places().select_related("program", "location")


def _first_session_on() -> Coalesce:
    return Coalesce(_day_of_sessions(Min("held_on")), F("starts_on"))


def _last_session_on() -> Coalesce:
    return Coalesce(_day_of_sessions(Max("held_on")), F("ends_on"))


def _day_of_sessions(which: Aggregate) -> Subquery:
    meetings = CourseSession.objects.filter(course=OuterRef("pk"), cancelled_at=None).order_by()
    return Subquery(meetings.values("course").annotate(day=which).values("day"))


def _children_of_each(**lookups: object) -> Coalesce:
    found = Course.objects.filter(pk=OuterRef("pk"), **lookups)
    return Coalesce(Subquery(found.values("pk").annotate(rows=Count("enrollments")).values("rows")), 0)


class Course(models.Model):
    """What people call a class: a weekly meeting with dated sessions, a price and a number of seats."""

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Monday"
        TUESDAY = 1, "Tuesday"
        WEDNESDAY = 2, "Wednesday"
        THURSDAY = 3, "Thursday"
        FRIDAY = 4, "Friday"
        SATURDAY = 5, "Saturday"
        SUNDAY = 6, "Sunday"

    program = models.ForeignKey(Program, on_delete=models.PROTECT, related_name="courses")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="courses")
    title = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    description = models.TextField(blank=True)
    what_to_bring = models.TextField(
        blank=True,
        help_text="One item per line. Shown on the class page and in the email before the class starts.",
    )
    age_min = models.PositiveSmallIntegerField()
    age_max = models.PositiveSmallIntegerField()
    weekday = models.PositiveSmallIntegerField(choices=Weekday.choices)
    start_time = models.TimeField()
    end_time = models.TimeField()
    starts_on = models.DateField()
    ends_on = models.DateField()
    price_cents = models.PositiveIntegerField()
    prorates_late_joiners = models.BooleanField(
        "late joiners pay for the remaining sessions",
        default=True,
        db_default=True,
        help_text="Once the class has started, a child who joins pays only for the remaining sessions.",
    )
    offers_after_start = models.BooleanField(
        "waitlist continues after the start",
        default=False,
        db_default=False,
        help_text=(
            "Places are offered to the waitlist as long as registration is open. Otherwise offers end "
            "when the class starts, and a place that becomes free later goes to whoever books it first."
        ),
    )
    capacity = models.PositiveSmallIntegerField()
    registration_opens_at = models.DateTimeField(db_default=Now())
    registration_closes_at = models.DateTimeField()
    is_published = models.BooleanField("published", default=False, editable=False)
    cancelled_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Cancelled since then."
    )
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Archived: hidden from lists and choices since then."
    )

    objects = CourseQuerySet.as_manager()
    taken: int  # by CourseQuerySet.with_places, like `waiting`
    waiting: int

    class Meta:
        verbose_name = "class"
        verbose_name_plural = "classes"
        constraints = [
            models.CheckConstraint(condition=Q(age_min__lte=F("age_max")), name="enrollments_course_ages"),
            models.CheckConstraint(condition=Q(starts_on__lte=F("ends_on")), name="enrollments_course_dates"),
            models.CheckConstraint(
                condition=Q(start_time__lt=F("end_time")), name="enrollments_course_times"
            ),
            # Less cannot be charged; the form asks for more where the currency's minimum is higher.
            models.CheckConstraint(
                condition=Q(price_cents=0) | Q(price_cents__gte=100), name="enrollments_course_price"
            ),
            models.CheckConstraint(condition=Q(weekday__lte=6), name="enrollments_course_weekday"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("course", args=[self.slug])

    def is_open_at(self, now: datetime.datetime) -> bool:
        """Whether the registration window is open (the class may still be full)."""
        if self.cancelled_at:
            return False
        return self.is_published and self.registration_opens_at <= now < self.registration_closes_at

    @property
    def places_left(self) -> int:
        """For the public: a seat that someone waits for is theirs."""
        return max(self.capacity - self.taken - self.waiting, 0)

    def meetings(self) -> "list[CourseSession]":
        """The sessions that take place, the first one first. Prefetch `sessions` for many classes."""
        return [session for session in self.sessions.all() if session.cancelled_at is None]

    @cached_property
    def first_on(self) -> datetime.date:
        """The first day, as people read it: of the first session that takes place; without any, `starts_on`.

        For lists see `CourseQuerySet.with_days`.
        """
        return self._days[0]

    @cached_property
    def last_on(self) -> datetime.date:
        """The last day, as people read it: of the last session that takes place; without any, `ends_on`."""
        return self._days[1]

    @property
    def _days(self) -> tuple[datetime.date, datetime.date]:
        days = [session.held_on for session in self.meetings()]
        return min(days, default=self.starts_on), max(days, default=self.ends_on)

    def has_ended(self, on: datetime.date) -> bool:
        """Whether the last session that takes place was before that day; without any, its last day.

        Every rule about classes that are over uses this, or `current` and `ended` for many, never a status.
        """
        return self._days[1] < on

    def sessions_left(
        self, now: datetime.datetime, *, since: datetime.datetime | None = None
    ) -> tuple[int, int]:
        """How many sessions have not begun, of those that had not begun at `since`; of all without it.

        All or none of one, if no session is planned.
        """
        sessions = [session for session in self.meetings() if since is None or session.starts_at > since]
        if not sessions:
            return int(local_date(now) < self.starts_on), 1
        return sum(session.starts_at > now for session in sessions), len(sessions)

    def sessions_sold(self, now: datetime.datetime) -> tuple[int, int]:
        """How many sessions a child who joins now pays for, of how many: all, unless late joiners pay less.

        A class that has no session left is not sold: `has_ended`.
        """
        left, of = self.sessions_left(now)
        return (left, of) if left and self.prorates_late_joiners else (1, 1)

    def fits_age(self, age: int) -> bool:
        return self.age_min <= age <= self.age_max

    def weekly_dates(self) -> list[datetime.date]:
        """One date for each week from the first to the last day, whether or not it has a session."""
        first = self.starts_on + datetime.timedelta(days=(self.weekday - self.starts_on.weekday()) % 7)
        weeks = range((self.ends_on - first).days // 7 + 1)
        return [first + datetime.timedelta(weeks=week) for week in weeks]

    def plan_sessions(self, *, skipping: Collection[datetime.date] = ()) -> "list[CourseSession]":
        """Write one dated session for each week from first to last day, but for the days in `skipping`."""
        return self.add_sessions(day for day in self.weekly_dates() if day not in skipping)

    def add_sessions(self, days: Iterable[datetime.date]) -> "list[CourseSession]":
        """Write a session on each of these days, at the usual time."""
        return CourseSession.objects.bulk_create(
            CourseSession(course=self, held_on=day, start_time=self.start_time, end_time=self.end_time)
            for day in days
        )


class CourseSession(models.Model):
    """One meeting of a class on its local date."""

    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="sessions")
    held_on = models.DateField()
    start_time = models.TimeField()
    end_time = models.TimeField()
    cancelled_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Cancelled since then."
    )

    class Meta:
        verbose_name = "session"
        verbose_name_plural = "sessions"
        ordering = ["held_on", "start_time"]
        constraints = [
            models.UniqueConstraint(
                fields=["course", "held_on", "start_time"], name="enrollments_coursesession_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.course} on {day(self.held_on)}"

    @property
    def starts_at(self) -> datetime.datetime:
        return datetime.datetime.combine(self.held_on, self.start_time, ZoneInfo(settings.SCHOOL_TIME_ZONE))


class CourseChange(models.Model):
    """A class got another place or other times, and its families were notified. Written by
    `enrollments.classes.changes.change_course`."""

    IS_APPEND_ONLY = True

    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="changes")
    before = models.JSONField(help_text="Place, times and the sessions to come, as the families knew them.")
    after = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, help_text="The families see it in their email.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "class change"
        verbose_name_plural = "class changes"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.course}: {self.reason}"
