from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from csf import clock
from csf.dates import local_date
from csf.invariants import Invariant, legal
from enrollments.models import Course, Enrollment, EnrollmentTransition
from enrollments.models.seats import HOLDING, LIVE, OCCUPYING
from enrollments.waitlist import IN_ORDER


def _ids(*conditions: Q, **lookups: object) -> list[int]:
    return list(Enrollment.objects.filter(*conditions, **lookups).values_list("pk", flat=True))


def _twice(*fields: str, **lookups: object) -> list[tuple[int, ...]]:
    rows = Enrollment.objects.filter(**lookups).values(*fields).annotate(rows=Count("pk")).filter(rows__gt=1)
    return list(rows.values_list(*fields))


def _offers_out_of_order() -> Iterator[int]:
    """Offers without a reason of their own, while somebody stood before that family.

    Who waited when is told by the ids of the transitions: they are written under the class's lock.
    """
    offers = EnrollmentTransition.objects.filter(from_status="waitlisted", to_status="offered")
    moves = EnrollmentTransition.objects.filter(enrollment=OuterRef("pk"), from_status="waitlisted")
    entered = moves.filter(to_status="waitlisted").values("pk")
    left = moves.exclude(to_status="waitlisted").order_by("pk").values("pk")
    came = Enrollment.objects.exclude(
        joined_at=None
    ).annotate(
        entered=Subquery(entered.order_by("pk")[:1]),
        moved_up=Subquery(entered.order_by("-pk")[:1]),  # the same, for who came with priority
        left=Subquery(left[:1]),
    )
    lines: dict[int, list[Any]] = defaultdict(list)
    for enrollment in came:
        lines[enrollment.course_id].append(enrollment)
    for offer in offers.filter(reason__in=["", IN_ORDER]).select_related("enrollment"):
        mine = offer.enrollment
        turn = (mine.priority_at is None, mine.joined_at, mine.pk)
        waited = [
            other
            for other in lines[mine.course_id]
            if (other.entered or 0) < offer.pk and (other.left is None or other.left > offer.pk)
        ]
        if any(
            (not other.priority_at or (other.moved_up or 0) > offer.pk, other.joined_at, other.pk) < turn
            for other in waited
        ):
            yield mine.pk


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
    return idle.filter(Exists(waiting), ~Exists(moved)).values_list("pk", flat=True)


INVARIANTS = [
    Invariant(
        "S1",
        "enrollments with a seat that need none, or without one that need it",
        lambda: _ids(
            Q(status__in=OCCUPYING, seat_number=None)
            | (~Q(status__in=OCCUPYING) & Q(seat_number__isnull=False))
        ),
    ),
    Invariant("S2", "seats beyond the capacity", lambda: _ids(seat_number__gt=F("course__capacity"))),
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
        "holds and offers that are over for long",
        lambda: _ids(status__in=HOLDING, expires_at__lt=clock.now() - timedelta(hours=2)),
    ),
    Invariant("S5", "offers that went past somebody who waited longer", _offers_out_of_order),
    Invariant("S7", "classes with a free seat that nobody who waits is offered", _idle_seats),
    Invariant(
        "M13", "enrollments in a state that they cannot be in", *legal(Enrollment, "held waitlisted active")
    ),
]
