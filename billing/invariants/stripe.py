"""About Stripe: every event is finished, every id is on one row, and both books agree."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max

from billing.models import (
    BookDifference,
    Card,
    ChargeAttempt,
    ComparedDay,
    Dispute,
    Installment,
    Payment,
    Refund,
    StripeCustomer,
    StripeEvent,
)
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance
from csf.proofs.invariants import Invariant, pks, twice, with_task

IDS: list[tuple[Any, str]] = [
    (Installment, "stripe_invoice_id"),
    (ChargeAttempt, "stripe_session_id"),
    (ChargeAttempt, "stripe_charge_id"),
    (Payment, "stripe_payment_intent_id"),
    (Payment, "stripe_invoice_id"),
    (Refund, "stripe_refund_id"),
    (Dispute, "stripe_id"),
    (StripeCustomer, "stripe_id"),
    (Card, "stripe_payment_method_id"),
    (StripeEvent, "stripe_id"),
]
NOT_COMPARED = timedelta(hours=26)
NOT_WORKED_OFF = timedelta(days=2)


def _shared_ids(since: datetime | None = None) -> Iterator[str]:
    """The tables without a time of their own are the small ones."""
    for model, field in IDS:
        is_dated = any(column.name == "created_at" for column in model._meta.concrete_fields)
        yield from twice(model, field, since=since if is_dated else None)


def _not_compared() -> Any:
    """Before the first comparison there is nothing to miss: a job that never runs is reported as such."""
    last = ComparedDay.objects.aggregate(at=Max("compared_at"))["at"]
    return pks(ComparedDay.objects.filter(compared_at=last, compared_at__lt=Now() - NOT_COMPARED))


def _parked_in_silence() -> Any:
    parked = StripeEvent.objects.filter(status="parked")
    return pks(parked.exclude(pk__in=with_task(MoneyTask.EVENT_PARKED)))


def _left_lying() -> Any:
    """In quarantine events wait."""
    if Instance.why_quarantined():
        return []
    return pks(StripeEvent.objects.filter(status="received", received_at__lt=Now() - NOT_WORKED_OFF))


INVARIANTS = [
    Invariant("M5", "Stripe ids that several rows share", _shared_ids, _shared_ids),
    Invariant(
        "M16", "differences between our books and Stripe's", lambda: pks(BookDifference.objects.open())
    ),
    Invariant("M16", "books not compared with Stripe's for a day", _not_compared),
    Invariant("Y2", "parked events without a staff task", _parked_in_silence),
    Invariant("Y2", "events waiting for two days", _left_lying),
]
