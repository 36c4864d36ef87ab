"""About places and seats, and the people who have them."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from csf import clock
from csf.clock import Now
from csf.dates import local_date
from csf.proofs.invariants import Invariant, last_before, legal, pks
from enrollments.classes.endings import COMPLETE_AFTER
from enrollments.classes.waitlist import IN_ORDER
from enrollments.models import Course, Enrollment, EnrollmentTransition, WaitlistTier
from enrollments.models.seats import HOLDING, LIVE, OCCUPYING

HOLDS_END_WITHIN = timedelta(hours=2)
NOT_COMPLETED = timedelta(days=30)


def _ids(*conditions: Q, **lookups: object) -> Any:
    return pks(Enrollment.objects.filter(*conditions, **lookups))


def _twice(*fields: str, **lookups: object) -> Any:
    rows = Enrollment.objects.order_by().filter(**lookups).values(*fields)
    return rows.annotate(rows=Count("pk")).filter(rows__gt=1).values_list(*fields)


class _Place(NamedTuple):
    """On a waitlist; the ids of the transitions show who waited when, because they are written under the
    class's lock."""

    course: int
    pk: int
    joined_at: datetime
    priority_at: datetime | None
    entered: int | None
    moved_up: int | None  # the same, for places that joined with priority
    left: int | None

    def turn(self, at: int) -> tuple[bool, datetime, int]:
        """Its rank in the line as it was at that transition."""
        is_priority = self.priority_at is not None and (self.moved_up or 0) <= at
        return (not is_priority, self.joined_at, self.pk)

    def waited(self, at: int) -> bool:
        return (self.entered or 0) < at and (self.left is None or self.left > at)


def _offers_out_of_order(since: datetime | None = None) -> Iterator[int]:
    """Offers without a reason of their own, while someone stood before that family."""
    offers = EnrollmentTransition.objects.filter(
        from_status="waitlisted",
        to_status="offered",
        reason__in=["", IN_ORDER],
        pk__gt=last_before(EnrollmentTransition, since),
    )
    lines = _lines(offers.order_by().values("enrollment__course"))
    for at, enrollment_id, course_id in offers.values_list("pk", "enrollment", "enrollment__course"):
        mine = next((place for place in lines[course_id] if place.pk == enrollment_id), None)
        # With `priority_at` as it is now: a place that was offered a seat in the regular tier stays there.
        turn = mine and (mine.priority_at is None, mine.joined_at, mine.pk)
        if turn and any(place.waited(at) and place.turn(at) < turn for place in lines[course_id]):
            yield enrollment_id


def _lines(courses: Any) -> dict[int, list[_Place]]:
    moves = EnrollmentTransition.objects.filter(enrollment=OuterRef("pk"), from_status="waitlisted")
    entered = moves.filter(to_status="waitlisted").values("pk")
    left = moves.exclude(to_status="waitlisted").order_by("pk").values("pk")
    came = Enrollment.objects.filter(course__in=courses, joined_at__isnull=False).values_list(
        "course",
        "pk",
        "joined_at",
        "priority_at",
        Subquery(entered.order_by("pk")[:1]),
        Subquery(entered.order_by("-pk")[:1]),
        Subquery(left[:1]),
    )
    lines: dict[int, list[_Place]] = defaultdict(list)
    for row in came:
        lines[row[0]].append(_Place(*row))
    return lines


def _idle_seats() -> Any:
    """Free for 15 minutes at least: nothing has moved in the class since."""
    now = clock.now()
    a_while_ago = now - timedelta(minutes=15)
    to_come = Q(starts_on__gt=local_date(now)) | Q(offers_after_start=True, registration_closes_at__gt=now)
    offered = Course.objects.with_places().current(local_date(now)).filter(to_come, cancelled_at=None)
    idle = offered.filter(is_published=True, capacity__gt=F("taken"))
    waiting = Enrollment.objects.filter(course=OuterRef("pk"), status="waitlisted", joined_at__lt=a_while_ago)
    moved = EnrollmentTransition.objects.filter(
        enrollment__course=OuterRef("pk"), created_at__gte=a_while_ago
    )
    return pks(idle.filter(Exists(waiting), ~Exists(moved)))


def _over_for_long() -> Any:
    """Of classes that took place to the end."""
    on = clock.today() - COMPLETE_AFTER - NOT_COMPLETED
    ended = Course.objects.ended(on).filter(cancelled_at=None).values("pk")
    return _ids(course__in=ended, status__in=LIVE)


INVARIANTS = [
    Invariant(
        "S1", "places that need a seat and have none", lambda: _ids(status__in=OCCUPYING, seat_number=None)
    ),
    Invariant(
        "S1",
        "places that need no seat and have one",
        lambda: _ids(~Q(status__in=OCCUPYING), seat_number__isnull=False),
    ),
    Invariant(
        "S2",
        "seats beyond the capacity",
        lambda: _ids(Q(seat_number__gt=F("course__capacity")) | Q(seat_number__lt=1)),
    ),
    Invariant(
        "S2",
        "seats sold twice (class, seat)",
        lambda: _twice("course", "seat_number", seat_number__isnull=False),
    ),
    Invariant(
        "S3", "children twice in a class (child, class)", lambda: _twice("child", "course", status__in=LIVE)
    ),
    Invariant("S4", "holds and offers without an end", lambda: _ids(status__in=HOLDING, expires_at=None)),
    Invariant(
        "S4",
        "holds and offers that ended long ago",
        lambda: _ids(status__in=HOLDING, expires_at__lt=Now() - HOLDS_END_WITHIN),
    ),
    Invariant(
        "S4",
        "places with an end that have none",
        lambda: _ids(~Q(status__in=HOLDING), expires_at__isnull=False),
    ),
    Invariant(
        "S5",
        "offers that skipped someone who waited longer",
        _offers_out_of_order,
        _offers_out_of_order,
    ),
    Invariant(
        "S5",
        "places on the waitlist without a rank",
        lambda: _ids(
            Q(joined_at=None) | ~Q(tier__in=WaitlistTier.values), status__in=["waitlisted", "offered"]
        ),
    ),
    Invariant("S7", "classes with a free seat that no waiting family is offered", _idle_seats),
    Invariant(
        "M13", "enrollments in a state that they cannot be in", *legal(Enrollment, "held waitlisted active")
    ),
    Invariant("Y1", "places in classes that ended long ago", _over_for_long),
]
