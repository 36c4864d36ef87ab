from collections.abc import Iterable
from typing import Any

from django.dispatch import receiver

from billing.changes.class_end import reopen_orders
from csf.jobs.queue import enqueue
from enrollments.classes.changes import places_reopened
from enrollments.classes.waitlist import priority_offered
from enrollments.models import Enrollment, User


@receiver(priority_offered)
def charge_for_priority(**_: Any) -> None:
    """At once: the priority tier does not wait for the next minute."""
    enqueue("billing.tasks.sweep_waitlist")


@receiver(places_reopened)
def reopen_orders_of(places: Iterable[Enrollment], by: User, reason: str, **_: Any) -> None:
    reopen_orders(places, by=by, reason=reason)
