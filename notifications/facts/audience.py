"""Whose places a message of the office is about."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet

from csf import clock
from enrollments.models import Course, Enrollment, EnrollmentStatus
from enrollments.models.seats import WAITING
from notifications.models.messages import Seats


def places(audience: Mapping[str, Any]) -> QuerySet[Enrollment]:
    """The places in the chosen classes, in any state."""
    if audience.get("enrollments"):
        return Enrollment.objects.filter(pk__in=audience["enrollments"])
    courses, program = audience.get("courses"), audience.get("program")
    chosen = Q(course__in=courses or []) | Q(course__program=program) if courses or program else Q()
    return Enrollment.objects.filter(chosen)


def seats(audience: Mapping[str, Any]) -> QuerySet[Enrollment]:
    """Those of them whose families the message is for."""
    meant = Q(pk__in=[])
    for name in audience.get("seats", []):
        meant |= _having(Seats(name))
    return places(audience).filter(meant)


def _having(seats: Seats) -> Q:
    today = clock.today()
    has_place = Q(status__in=[EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER])
    match seats:
        case Seats.ACTIVE:
            return has_place & Q(course__in=Course.objects.current(today))
        case Seats.WAITING:
            return Q(status__in=WAITING)
        case Seats.ENDED:
            has_ended = Q(course__in=Course.objects.ended(today))
            return Q(status=EnrollmentStatus.COMPLETED) | has_place & has_ended


def left_out(audience: Mapping[str, Any]) -> list[tuple[str, int]]:
    """How many places of the chosen classes are not meant, by their status."""
    others = places(audience).exclude(pk__in=seats(audience).values("pk"))
    counted = others.order_by("status").values_list("status").annotate(Count("pk"))
    return [(EnrollmentStatus(status).label, count) for status, count in counted]


def still_meant(audience: Mapping[str, Any], households: Iterable[int]) -> set[int]:
    """Of these families, those that have such a place now."""
    found = seats(audience).filter(child__household__in=households)
    return set(found.values_list("child__household_id", flat=True))
