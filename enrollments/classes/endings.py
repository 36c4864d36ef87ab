"""The end of a class: nobody waits for it any more, and its places are completed. And back again, for a class
that is extended.

`Course.has_ended` is true from the day after the last session. The places stay active for two weeks more, in
which the office can still cancel them.
"""

import datetime
from datetime import timedelta

from django.db import transaction

from csf.state import transition_many
from enrollments.classes.waitlist import NoSeat, close_waitlist
from enrollments.locks import lock_course
from enrollments.models import Course, Enrollment, EnrollmentStatus, User
from enrollments.models.courses import CourseQuerySet
from enrollments.models.seats import WAITING, free_seat_numbers

COMPLETE_AFTER = timedelta(days=14)
ENDED = "the class has ended"


def with_people_waiting(on: datetime.date) -> CourseQuerySet:
    """Classes that have ended and still have a waitlist or an open offer."""
    waiting = Enrollment.objects.filter(status__in=WAITING).values("course")
    return Course.objects.ended(on).filter(pk__in=waiting).order_by("pk")


def with_places_to_complete(on: datetime.date) -> CourseQuerySet:
    """Classes that ended COMPLETE_AFTER ago and took place to the end."""
    enrolled = Enrollment.objects.filter(status__in=[EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER])
    ended = Course.objects.ended(on - COMPLETE_AFTER).filter(cancelled_at=None)
    return ended.filter(pk__in=enrolled.values("course")).order_by("pk")


@transaction.atomic
def complete_places(course: Course) -> int:
    """Complete the active places of a class that has ended, and return how many.

    By then nobody waits for it any more, and a place that was on offer has returned to its family.
    """
    course = lock_course(course.pk)
    close_waitlist(course, by=None, reason=ENDED)
    places = list(course.enrollments.filter(status=EnrollmentStatus.ACTIVE).order_by("pk"))
    return len(transition_many(places, EnrollmentStatus.COMPLETED, reason=ENDED, seat_number=None))


@transaction.atomic
def reopen_places(course: Course, *, by: User, reason: str) -> list[Enrollment]:
    """Make the completed places of an extended class active again, each with a seat, and return them.

    A child who has another place in the class by now keeps that one. The caller reopens the orders. Raises
    NoSeat, and then nothing has changed, if there are more of them than free seats.
    """
    course = lock_course(course.pk)
    has_place = course.enrollments.live().values("child")
    completed = course.enrollments.filter(status=EnrollmentStatus.COMPLETED).exclude(child__in=has_place)
    places = list(completed.order_by("child_id", "-pk").distinct("child_id"))
    numbers = free_seat_numbers(course)
    if len(numbers) < len(places):
        raise NoSeat(f"{len(places)} children need their seats back, and only {len(numbers)} are free.")
    for place, number in zip(places, numbers, strict=False):
        place.reopen(seat_number=number, by=by, reason=reason)
    return places
