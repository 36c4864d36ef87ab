"""Families and classes under their locks, in this order: see `csf.database.row_locks`."""

from collections.abc import Iterable

from csf.database.row_locks import locked, locked_one
from enrollments.models import Course, Household


def lock_household(household_id: int) -> Household:
    return locked_one(Household.objects.all(), household_id)


def lock_household_of(child_id: int) -> Household:
    [household] = locked(Household.objects.filter(children=child_id))
    return household


def lock_course(course_id: int) -> Course:
    return locked_one(Course.objects.all(), course_id)


def lock_courses(ids: Iterable[int]) -> list[Course]:
    return locked(Course.objects.filter(pk__in=ids))
