"""The waitlist of a class: joining, leaving, offers and their end.

While someone waits, a seat that becomes free is theirs: it is offered in the transaction that frees it, and
nobody else can buy it. A family in the priority tier gets its seat without being asked:
`billing.changes.waitlist` accepts the offer.
"""

import datetime
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.dispatch import Signal

from csf import clock
from csf.database.retry import again_after_deadlock
from csf.dates import local_date, start_of_day
from csf.happened import happened
from csf.jobs.for_each import for_each
from csf.refusal import NotPossible
from enrollments.locks import lock_course
from enrollments.models import (
    Child,
    Course,
    Enrollment,
    EnrollmentStatus,
    Household,
    User,
    WaitlistTier,
)
from enrollments.models.courses import CourseQuerySet
from enrollments.models.seats import (
    HOLDING,
    WAITING,
    EnrollmentQuerySet,
    free_seat_numbers,
    seat_numbers_for_sale,
)

logger = logging.getLogger(__name__)

priority_offered = Signal()
"""Someone of the priority tier has an offer, which is charged at once."""

IN_ORDER = "a seat is free"
LEFT_BY_FAMILY = "the family left the waitlist"
OFFER_ORDER = ("offered_to_waitlist_at", "pk")  # of families that offer their place
OFFERS_ENDED = "the class has started"


class NoSeat(NotPossible):
    """No seat can be offered now."""


def offers_end_at(course: Course, *, now: datetime.datetime) -> datetime.datetime | None:
    """When an offer made now would end; None if no seat of this class is offered any more."""
    if course.cancelled_at or not course.is_published:
        return None
    ends_at = min(now + timedelta(hours=settings.OFFER_HOURS), _last_offers_end_at(course))
    return ends_at if ends_at > now else None


def _last_offers_end_at(course: Course) -> datetime.datetime:
    start = start_of_day(course.starts_on)
    meetings = course.meetings() if course.offers_after_start else []
    return max(start, min(course.registration_closes_at, meetings[-1].starts_at)) if meetings else start


def fill(course: Course, *, now: datetime.datetime, by: User | None = None) -> list[Enrollment]:
    """Offer the free seats to those who wait, the first in line first, and return the offers.

    Needs the row lock of the class. When the time for offers is over, waiting families are notified, and the
    free seats are for everyone.
    """
    assert transaction.get_connection().in_atomic_block
    course.refresh_from_db()
    ends_at = offers_end_at(course, now=now)
    offers = []
    if ends_at is not None:
        numbers = free_seat_numbers(course)
        waiting = list(course.enrollments.waitlisted())
        numbers += _offered_seats(course, len(waiting) - len(numbers))
        for enrollment, number in zip(waiting, numbers, strict=False):
            enrollment.offer(seat_number=number, until=ends_at, by=by, reason=IN_ORDER)
            offers.append(enrollment)
    elif _last_offers_end_at(course) <= now and course.is_published and not course.cancelled_at:
        for enrollment in course.enrollments.waitlisted().filter(offers_ended_at=None):
            enrollment.end_offers(at=now, reason=OFFERS_ENDED)
    _give_seats_back(course)
    _wake(offers)
    return offers


def _offered_seats(course: Course, wanted: int) -> list[int]:
    """Seats of families that offer theirs to the waitlist, the first offer first."""
    offering = course.enrollments.filter(status=EnrollmentStatus.ACTIVE, offered_to_waitlist_at__isnull=False)
    return [place.hand_over_seat() for place in offering.order_by(*OFFER_ORDER)[: max(wanted, 0)]]


def _give_seats_back(course: Course) -> None:
    """Seats that no one on the waitlist wants return to the families that offered theirs."""
    on_offer = course.enrollments.filter(status=EnrollmentStatus.ON_OFFER).order_by(
        "offered_to_waitlist_at", "pk"
    )
    for place, number in zip(on_offer, free_seat_numbers(course), strict=False):
        place.take_seat_back(number)


def taken_over(course: Course) -> list[Enrollment]:
    """Places whose offered seat cannot come back: someone on the waitlist has paid for it. Needs the row lock
    of the class."""
    on_offer = course.enrollments.filter(status=EnrollmentStatus.ON_OFFER).order_by(
        "offered_to_waitlist_at", "pk"
    )
    undecided = course.enrollments.filter(status__in=HOLDING).count()
    return list(on_offer)[: max(on_offer.count() - undecided - len(free_seat_numbers(course)), 0)]


def _wake(offers: list[Enrollment]) -> None:
    """The priority tier does not wait for the next minute."""
    if any(enrollment.tier == WaitlistTier.PRIORITY for enrollment in offers):
        priority_offered.send(sender=Enrollment)


def is_waitlist_open(course: Course, *, now: datetime.datetime) -> bool:
    """Whether one can join it: registration is open, and no seat is left for the public. Only true under the
    class's row lock."""
    opened = course.is_open_at(now) and offers_end_at(course, now=now) is not None
    return opened and not seat_numbers_for_sale(course)


def join(*, child: Child, course: Course) -> Enrollment:
    """A place at the end of the regular line. Under the row lock of the class, so that the clock tells who
    was first; the caller has checked that the class is full, and calls `enter_line` when all is written."""
    return Enrollment.objects.create(
        child=child,
        course=course,
        status=EnrollmentStatus.WAITLISTED,
        tier=WaitlistTier.REGULAR,
        joined_at=clock.now(),
    )


def leave_to_buy(course: Course, *, children: Collection[int]) -> None:
    """Children whose waitlist has ended buy seats that are open to everyone now. Under the row lock of the
    class."""
    waited = course.enrollments.waitlisted().filter(child__in=children, offers_ended_at__isnull=False)
    for enrollment in waited:
        enrollment.decline(by=None, reason=LEFT_BY_FAMILY)


@again_after_deadlock
@transaction.atomic
def leave(enrollment: Enrollment, *, by: User | None, now: datetime.datetime, reason: str) -> None:
    """Give up a place on the waitlist, or an offer, whose seat goes to the next. Raises Stale."""
    course = lock_course(enrollment.course_id)
    enrollment.refresh_from_db()
    enrollment.decline(by=by, reason=reason)
    fill(course, now=now)


@transaction.atomic
def close_waitlist(course: Course, *, by: User | None, reason: str) -> int:
    """The class is no longer offered: its waitlist is closed, and open offers end. Return how many waited."""
    course = lock_course(course.pk)
    waiting = list(course.enrollments.filter(status__in=WAITING).order_by("pk"))
    for enrollment in waiting:
        enrollment.decline(by=by, reason=reason)
    _give_seats_back(course)
    return len(waiting)


@again_after_deadlock
@transaction.atomic
def offer_out_of_order(
    enrollment: Enrollment, *, by: User, reason: str, now: datetime.datetime, add_seat: bool = False
) -> None:
    """Staff give someone a seat before their turn, and say why. Raises NoSeat, or Stale if the child does
    not wait any more."""
    course = lock_course(enrollment.course_id)
    enrollment.refresh_from_db()
    ends_at = offers_end_at(course, now=now)
    if ends_at is None:
        raise NoSeat("Places in this class are no longer offered.")
    numbers = free_seat_numbers(course)
    if not numbers and not add_seat:
        raise NoSeat("No place is free. Add one to the class, or wait until one is free.")
    if not numbers:
        course.capacity += 1
        course.save(update_fields=["capacity"])
        numbers = [course.capacity]
    enrollment.offer(seat_number=numbers[0], until=ends_at, by=by, reason=reason)
    _wake([enrollment])


def waiting_places(household: Household) -> EnrollmentQuerySet:
    """The family's places on waitlists and its offers, each with its `position`."""
    found = Enrollment.objects.filter(child__household=household, status__in=WAITING).with_position()
    related = found.select_related("child", "course__location", "waitlist_consent")
    return related.order_by("-status", "course__starts_on", "pk")


def sweep(*, now: datetime.datetime) -> None:
    """Each minute: end offers that have expired, and offer every free seat, so that none stays empty."""
    courses = _to_serve(now).values_list("pk", flat=True)
    for_each(courses, partial(_lapse_and_fill, now=now), doing="serving a waitlist")


def _to_serve(now: datetime.datetime) -> CourseQuerySet:
    """Classes with places that wait, are offered, or are on offer: past seasons have none."""
    in_line = Enrollment.objects.filter(status__in=[*WAITING, EnrollmentStatus.ON_OFFER])
    over = in_line.filter(status=EnrollmentStatus.OFFERED, expires_at__lte=now)
    on_offer = in_line.filter(status=EnrollmentStatus.ON_OFFER)
    waiting = in_line.filter(status=EnrollmentStatus.WAITLISTED)
    offering = Enrollment.objects.filter(
        status=EnrollmentStatus.ACTIVE,
        offered_to_waitlist_at__isnull=False,
        course__in=waiting.values("course"),
    )
    continues = Q(starts_on__gt=local_date(now)) | Q(offers_after_start=True, registration_closes_at__gt=now)
    has_free = Q(taken__lt=F("capacity"))
    to_offer = _with(waiting) & continues & (has_free | _with(offering))
    to_end = _with(waiting.filter(offers_ended_at=None)) & ~continues
    shown = Q(is_published=True, cancelled_at=None)
    found = (
        Course.objects.filter(_with(in_line))
        .with_places()
        .filter(_with(over) | _with(on_offer) & has_free | shown & (to_offer | to_end))
    )
    return found.order_by("pk")


def _with(enrollments: EnrollmentQuerySet) -> Q:
    return Q(pk__in=enrollments.values("course"))


@again_after_deadlock
@transaction.atomic
def _lapse_and_fill(course_id: int, *, now: datetime.datetime) -> None:
    course = lock_course(course_id)
    for enrollment in course.enrollments.filter(status=EnrollmentStatus.OFFERED, expires_at__lte=now):
        with happened(at=enrollment.expires_at):
            enrollment.lapse(reason="nobody answered the offer in time")
    fill(course, now=now)


@dataclass(frozen=True)
class Demand:
    """The demand for a class, in numbers."""

    waiting: int
    priority: int
    offered: int
    accepted: int
    given_up: int
    """Offers that expired or were declined, and families that left the waitlist."""

    def __str__(self) -> str:
        return (
            f"{self.waiting} waiting ({self.priority} priority), {self.offered} offered now, "
            f"{self.accepted} accepted, {self.given_up} left or expired"
        )

    @classmethod
    def for_course(cls, course: Course) -> "Demand":
        came = list(course.enrollments.exclude(tier="").values_list("status", "tier"))
        count = [status for status, _ in came].count
        waiting = count(EnrollmentStatus.WAITLISTED)
        offered = count(EnrollmentStatus.OFFERED)
        given_up = count(EnrollmentStatus.LAPSED) + count(EnrollmentStatus.DECLINED)
        return cls(
            waiting=waiting,
            priority=came.count((EnrollmentStatus.WAITLISTED, WaitlistTier.PRIORITY)),
            offered=offered,
            accepted=len(came) - waiting - offered - given_up,
            given_up=given_up,
        )
