from datetime import timedelta

from django.db.models import Count, F, Q
from django.utils import timezone

from csf.invariants import Invariant, illegal_states
from enrollments.models import Enrollment
from enrollments.models.seats import LIVE, OCCUPYING


def _ids(*conditions: Q, **lookups: object) -> list[int]:
    return list(Enrollment.objects.filter(*conditions, **lookups).values_list("pk", flat=True))


def _twice(*fields: str, **lookups: object) -> list[tuple[int, ...]]:
    rows = Enrollment.objects.filter(**lookups).values(*fields).annotate(rows=Count("pk")).filter(rows__gt=1)
    return list(rows.values_list(*fields))


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
    Invariant("S4", "holds without an end", lambda: _ids(status="held", expires_at=None)),
    Invariant(
        "S4",
        "holds that are over for long",
        lambda: _ids(status="held", expires_at__lt=timezone.now() - timedelta(hours=2)),
    ),
    Invariant("M13", "enrollments in a state that they cannot be in", lambda: illegal_states(Enrollment)),
]
