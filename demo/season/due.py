"""When the product has something to do next, and which of its sweeps does it.

The product looks each minute. In a season of four months that would be 161,000 looks, nearly all in vain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Min, QuerySet

from billing.models import ChargeAttempt, Refund, StripeEvent
from enrollments.models import Enrollment
from notifications.models import EmailMessage


@dataclass(frozen=True)
class Waiting:
    rows: "QuerySet[Any]"
    field: str
    sweeps: tuple[str, ...]

    def next_at(self) -> datetime | None:
        found: datetime | None = self.rows.aggregate(at=Min(self.field))["at"]
        return found


def _all() -> list[Waiting]:
    unsent = EmailMessage.objects.filter(status__in=["queued", "sending", "unknown"])
    return [
        Waiting(Enrollment.objects.all(), "expires_at", ("sweep_holds", "sweep_waitlist")),
        Waiting(unsent, "next_attempt_at", ("sweep_emails", "send_awaited_emails")),
        Waiting(StripeEvent.objects.filter(status="received"), "next_try_at", ("sweep_events",)),
        Waiting(ChargeAttempt.objects.all(), "next_look_at", ("sweep_charges",)),
        Waiting(Refund.objects.all(), "next_look_at", ("sweep_refunds",)),
    ]


def next_at() -> datetime | None:
    return min((at for waiting in _all() if (at := waiting.next_at())), default=None)


def sweeps(now: datetime) -> Iterator[str]:
    """Names of the jobs that have something to do by now."""
    for waiting in _all():
        at = waiting.next_at()
        if at and at <= now:
            yield from waiting.sweeps
