"""Classes of one child that meet at the same time: parents are warned, nothing is refused."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from enrollments.models import Course, CourseSession, Enrollment, Household
from enrollments.models.seats import HAS_SEAT

Wish = tuple[int, Course]
"""A child, by id, and a class that it may take."""
_Slots = Mapping[datetime.date, Sequence[tuple[datetime.time, datetime.time]]]


@dataclass(frozen=True)
class Overlap:
    """What a child has at the time of another class; `first_on` is the first such day, of `days`."""

    course: Course
    first_on: datetime.date
    days: int
    is_each_time: bool

    def __str__(self) -> str:
        if self.is_each_time:
            return f"{self.course} at that time"
        first = f"{self.first_on:%B} {self.first_on.day}"
        return f"{self.course} at that time on " + (
            first if self.days == 1 else f"{self.days} days from {first}"
        )


def overlaps(
    wishes: Collection[Wish], *, household: Household, on: datetime.date
) -> dict[tuple[int, int], list[Overlap]]:
    """By child and class, ids both: what else the child has at the time of its sessions from `on` on.

    Compared are the real sessions, moved or cancelled as they may be, with those of the classes in which the
    child has a seat and of its other wishes. Two statements.
    """
    places = Enrollment.objects.filter(
        child__household=household, status__in=HAS_SEAT, course__cancelled_at=None
    )
    courses: dict[int, dict[int, Course]] = defaultdict(dict)  # of each child
    for place in places.select_related("course").order_by("course__starts_on", "course"):
        courses[place.child_id][place.course_id] = place.course
    for child_id, course in wishes:
        courses[child_id].setdefault(course.pk, course)
    slots = _slots({pk for found in courses.values() for pk in found}, on=on)
    return {
        (child_id, course.pk): [
            overlap
            for pk, other in courses[child_id].items()
            if pk != course.pk and (overlap := _overlap(slots[course.pk], slots[pk], other))
        ]
        for child_id, course in wishes
    }


def _slots(course_ids: Collection[int], *, on: datetime.date) -> Mapping[int, _Slots]:
    """The times of the sessions to come, by class and day."""
    found: dict[int, dict[datetime.date, list[tuple[datetime.time, datetime.time]]]]
    found = defaultdict(lambda: defaultdict(list))
    sessions = CourseSession.objects.filter(course__in=course_ids, cancelled_at=None, held_on__gte=on)
    for pk, day, start, end in sessions.values_list("course", "held_on", "start_time", "end_time"):
        found[pk][day].append((start, end))
    return found


def _overlap(mine: _Slots, theirs: _Slots, other: Course) -> Overlap | None:
    days = sorted(
        day
        for day in mine.keys() & theirs.keys()
        if any(
            start < other_end and other_start < end
            for start, end in mine[day]
            for other_start, other_end in theirs[day]
        )
    )
    return Overlap(other, days[0], len(days), is_each_time=len(days) == len(mine)) if days else None
