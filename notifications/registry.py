"""The list of all emails: for each kind, whom it goes to, what it says, its key, and when it is worth
nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import models
from django.utils import timezone

from billing.models import Payment
from enrollments.models import EnrollmentTransition, User
from notifications.kinds import EmailKind
from notifications.snapshots import (
    Snapshot,
    enrollment_snapshot,
    guardians,
    order_snapshot,
    payment_snapshot,
)
from orders.models import OrderStatus, OrderTransition


@dataclass(frozen=True, kw_only=True)
class EmailSpec:
    recipients: Callable[[Any], list[User]]
    snapshot: Callable[[Any], Snapshot]
    key: Callable[[Any], str]
    """One business fact, one key; webhook, job and button all come to the same."""
    accent: Literal["green", "blue", "orange", "red", "grey"]
    is_copy_harmless: bool
    """Whether the sweep may send a second copy when it is not known if the first went out."""
    expires: Callable[[Any], datetime | None]
    priority: int = 5
    still_true: Callable[[Iterable[int]], set[int]] = set
    """Of these fact ids, those that are still worth telling; asked once a batch, at the claim."""


def _order_is_alive(facts: Iterable[int]) -> set[int]:
    alive = [OrderStatus.PLACED, OrderStatus.CONFIRMED]
    return set(
        OrderTransition.objects.filter(pk__in=facts, order__status__in=alive).values_list("pk", flat=True)
    )


def _order_family(fact: Any) -> list[User]:
    return guardians(fact.order.household)


def _in(delay: timedelta) -> Callable[[models.Model], datetime]:
    return lambda fact: timezone.now() + delay


def _first_session(fact: EnrollmentTransition) -> datetime | None:
    first = fact.enrollment.course.sessions.first()
    return first.starts_at if first else None


def _payment_key(fact: Payment) -> str:
    return f"payment:{fact.pk}"


EMAILS: dict[EmailKind, EmailSpec] = {
    EmailKind.ORDER_CONFIRMATION: EmailSpec(
        recipients=_order_family,
        snapshot=order_snapshot,
        key=lambda fact: f"order:{fact.order_id}",
        accent="green",
        is_copy_harmless=True,
        expires=_in(timedelta(hours=24)),
        priority=3,
        still_true=_order_is_alive,
    ),
    EmailKind.PAYMENT_SUCCESS: EmailSpec(
        recipients=_order_family,
        snapshot=payment_snapshot,
        key=_payment_key,
        accent="green",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
        priority=3,
    ),
    EmailKind.ENROLLMENT_CONFIRMATION: EmailSpec(
        recipients=lambda fact: guardians(fact.enrollment.child.household),
        snapshot=enrollment_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}",
        accent="blue",
        is_copy_harmless=True,
        expires=_first_session,
    ),
}
