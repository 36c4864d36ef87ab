"""Classes to suggest when another one fits none of the children."""

import datetime
from collections.abc import Iterable

from django.db.models import Case, Value, When

from csf.dates import local_date
from enrollments.models import Child, Course

MOST = 3
_LOOKED_AT = 200


def similar_classes(course: Course, *, children: Iterable[Child], now: datetime.datetime) -> list[Course]:
    """Up to MOST open classes with places left that fit one of the children, those of its program first."""
    open_ones = (
        Course.objects.for_catalog().offered(local_date(now)).with_openings(now).prefetch_related("sessions")
    )
    same_first = Case(When(program=course.program_id, then=Value(0)), default=Value(1))
    found = open_ones.filter(registration_opens_at__lte=now).exclude(pk=course.pk)
    fitting = (
        other
        for other in found.order_by(same_first, "starts_on", "pk")[:_LOOKED_AT]
        if any(other.fits_age(child.age_on(other.starts_on)) for child in children)
    )
    return [other for _, other in zip(range(MOST), fitting, strict=False)]
