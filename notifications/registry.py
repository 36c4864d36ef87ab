"""The list of all emails: for each kind, whom it goes to, what it says, its key, and when it is worth
nothing."""

import pkgutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib import import_module
from operator import attrgetter

from django.db import models

from csf import clock
from enrollments.models import EnrollmentTransition
from notifications import emails
from notifications.facts.recipients import (
    enrolled_family,
    guardians,
)
from notifications.facts.snapshots import (
    cancellation_snapshot,
    enrollment_snapshot,
)
from notifications.kinds import EmailKind
from notifications.spec import Email, EmailSpec


def _in(delay: timedelta) -> Callable[[models.Model], datetime]:
    return lambda fact: clock.now() + delay


def _first_session(fact: EnrollmentTransition) -> datetime | None:
    """The first that the family can come to. Who pays minutes before it wants the email all the same."""
    now = clock.now()
    to_come = [row.starts_at for row in fact.enrollment.course.sessions.all() if row.starts_at > now]
    return max(to_come[0], now + timedelta(hours=24)) if to_come else None


def _declared() -> Iterator[Email]:
    for module in pkgutil.iter_modules(emails.__path__):
        yield import_module(f"{emails.__name__}.{module.name}").EMAIL


CONVERTED = {email.kind: email for email in _declared()}

EMAILS: dict[str, EmailSpec] = {
    EmailKind.ENROLLMENT_CONFIRMATION: EmailSpec(
        recipients=enrolled_family,
        family=attrgetter("enrollment.child.household_id"),
        snapshot=enrollment_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}",
        accent="blue",
        is_copy_harmless=True,
        expires=_first_session,
    ),
    EmailKind.CANCELLATION_CONFIRMATION: EmailSpec(
        recipients=lambda fact: guardians(fact.cancellation.order.household),
        family=attrgetter("cancellation.order.household_id"),
        snapshot=cancellation_snapshot,
        key=lambda fact: f"enrollment:{fact.cancellation.enrollment_id}:cancelled",
        accent="grey",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
    ),
    **CONVERTED,
}
