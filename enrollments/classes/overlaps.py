"""Classes of one child that meet at the same time: parents are warned, nothing is refused."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enrollments.models import Course, CourseSession, Household
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
    """By the ids of child and class: what else the child has at the time of its sessions from `on` on.

    The real sessions (moved or cancelled) are compared with those of the classes in which the child has a
    seat and of the other classes wanted, whose sessions are already loaded. One statement, and another one if
    it finds something.
    """
    mine = {course.pk: _slots(course, on=on) for _, course in wishes}
    taken = _taken(household, days={day for slots in mine.values() for day in slots})
    for child_id, course in wishes:
        taken[child_id].setdefault(course.pk, mine[course.pk])
    common = {
        (child_id, course.pk): {
            pk: days
            for pk, theirs in taken[child_id].items()
            if pk != course.pk and (days := _common_days(mine[course.pk], theirs))
        }
        for child_id, course in wishes
    }
    courses = {course.pk: course for _, course in wishes}
    if others := {pk for found in common.values() for pk in found} - courses.keys():
        courses |= Course.objects.in_bulk(others)
    return {
        wish: [
            Overlap(courses[pk], days[0], len(days), is_each_time=len(days) == len(mine[wish[1]]))
            for pk, days in found.items()
        ]
        for wish, found in common.items()
    }


def _slots(course: Course, *, on: datetime.date) -> _Slots:
    """The times of its sessions to come, by day."""
    found: dict[datetime.date, list[tuple[datetime.time, datetime.time]]] = defaultdict(list)
    for session in course.meetings():
        if session.held_on >= on:
            found[session.held_on].append((session.start_time, session.end_time))
    return found


def _taken(household: Household, *, days: Collection[datetime.date]) -> dict[int, dict[int, _Slots]]:
    """When the children are in their classes on these days: by child and class."""
    found: dict[int, dict[int, Any]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    if not days:
        return found
    seats = CourseSession.objects.filter(
        held_on__in=days,
        cancelled_at=None,
        course__cancelled_at=None,
        course__enrollments__child__household=household,
        course__enrollments__status__in=HAS_SEAT,
    )
    columns = ("course__enrollments__child", "course", "held_on", "start_time", "end_time")
    for child_id, pk, day, *slot in seats.order_by("course__starts_on", "course").values_list(*columns):
        found[child_id][pk][day].append(tuple(slot))
    return found


def _common_days(mine: _Slots, theirs: _Slots) -> list[datetime.date]:
    return sorted(
        day
        for day in mine.keys() & theirs.keys()
        if any(
            start < other_end and other_start < end
            for start, end in mine[day]
            for other_start, other_end in theirs[day]
        )
    )
