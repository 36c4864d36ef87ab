from collections.abc import Iterable
from typing import Any

from django.dispatch import receiver

from billing.changes.class_end import reopen_orders
from enrollments.changes import places_reopened
from enrollments.models import Enrollment, User


@receiver(places_reopened)
def reopen_orders_of(places: Iterable[Enrollment], by: User, reason: str, **_: Any) -> None:
    reopen_orders(places, by=by, reason=reason)
