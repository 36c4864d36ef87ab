"""The list of all emails: for each kind, whom it goes to, what it says, its key, and when it is worth
nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from billing.models import ChargeAttemptTransition, ChargeStatus, Payment
from enrollments.models import EnrollmentTransition, User
from notifications.kinds import EmailKind
from notifications.snapshots import (
    Snapshot,
    cancellation_snapshot,
    decline_snapshot,
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
    delay: timedelta = timedelta(0)
    """How long it waits before it goes out, for facts that may soon be overtaken."""
    priority: int = 5
    is_sensitive: bool = False
    """Opens an account: what it tells is kept encrypted until it is sent, and the text is never kept."""
    still_true: Callable[[Iterable[int]], set[int]] = set
    """Of these fact ids, those that are still worth telling; asked once a batch, at the claim."""


ALIVE = [OrderStatus.PLACED, OrderStatus.CONFIRMED]


def _order_is_alive(facts: Iterable[int]) -> set[int]:
    alive = OrderTransition.objects.filter(pk__in=facts, order__status__in=ALIVE)
    return set(alive.values_list("pk", flat=True))


def _still_declined(facts: Iterable[int]) -> set[int]:
    open_declines = ChargeAttemptTransition.objects.filter(
        pk__in=facts,
        chargeattempt__status=ChargeStatus.DECLINED,
        chargeattempt__installment__order__status__in=ALIVE,
    )
    return set(open_declines.values_list("pk", flat=True))


def _order_family(fact: Any) -> list[User]:
    return guardians(fact.order.household)


def _in(delay: timedelta) -> Callable[[models.Model], datetime]:
    return lambda fact: timezone.now() + delay


def _first_session(fact: EnrollmentTransition) -> datetime | None:
    first = fact.enrollment.course.sessions.first()
    return first.starts_at if first else None


def _payment_key(fact: Payment) -> str:
    return f"payment:{fact.pk}"


def _account_spec(*, is_sensitive: bool, priority: int) -> EmailSpec:
    """For the events of `notifications.accounts`. Codes overtake everything: somebody waits at the page."""
    return EmailSpec(
        recipients=lambda event: [event.recipient],
        snapshot=lambda event: event.facts,
        key=lambda event: event.key,
        accent="grey",
        is_copy_harmless=False,
        expires=lambda event: event.expires_at,
        priority=priority,
        is_sensitive=is_sensitive,
    )


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
    EmailKind.PAYMENT_FAILED: EmailSpec(
        recipients=lambda fact: guardians(fact.chargeattempt.installment.order.household),
        snapshot=decline_snapshot,
        # A payment page is one attempt: five tries on it are one email.
        key=lambda fact: f"attempt:{fact.chargeattempt_id}",
        accent="red",
        is_copy_harmless=True,
        expires=_in(timedelta(hours=24)),
        delay=timedelta(seconds=settings.CHECKOUT_DECLINE_MAIL_DELAY_S),
        priority=3,
        still_true=_still_declined,
    ),
    EmailKind.ENROLLMENT_CONFIRMATION: EmailSpec(
        recipients=lambda fact: guardians(fact.enrollment.child.household),
        snapshot=enrollment_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}",
        accent="blue",
        is_copy_harmless=True,
        expires=_first_session,
    ),
    EmailKind.CANCELLATION_CONFIRMATION: EmailSpec(
        recipients=lambda fact: guardians(fact.enrollment.child.household),
        snapshot=cancellation_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}:cancelled",
        accent="grey",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.WELCOME: EmailSpec(
        recipients=lambda user: [user],
        snapshot=lambda user: {"children_path": reverse("children")},
        key=lambda user: f"user:{user.pk}",
        accent="blue",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.ACCOUNT_CONFIRM_EMAIL: _account_spec(is_sensitive=True, priority=0),
    EmailKind.ACCOUNT_LOGIN_CODE: _account_spec(is_sensitive=True, priority=0),
    EmailKind.ACCOUNT_PASSWORD_RESET: _account_spec(is_sensitive=True, priority=0),
    EmailKind.ACCOUNT_NOTICE: _account_spec(is_sensitive=False, priority=2),
}
