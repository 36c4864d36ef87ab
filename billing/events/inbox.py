"""Processing the inbox of Stripe's events: a worker takes one after the other, retries with backoff, and
parks events for staff."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import requests
import stripe
from django.conf import settings
from djstripe.models import Event

from billing.events.lookups import look_at_dispute, look_at_refund, look_at_warning
from billing.installments.card_renewals import look_at_card
from billing.installments.customers import look_at_customer
from billing.installments.ended_invoices import look_at_ended_invoice
from billing.installments.hosted_declines import look_at_decline
from billing.installments.invoices import VOID_KEY, settle_paid_invoice
from billing.models import StripeEvent, StripeEventStatus
from billing.stripe import breaker
from billing.stripe.event_types import EVENT_TYPES
from billing.stripe.gateway import OutcomeUnknown
from billing.stripe.objects import instant
from billing.task_kinds import MoneyTask
from csf.database.advisory_locks import free_slot
from csf.database.retry import again_after_deadlock
from csf.happened import happened
from csf.models import Instance, StaffTask

logger = logging.getLogger(__name__)

MAX_TRIES = 8
AT_ONCE = 500
LOCK_CLASS = 20_263  # of its slots
# Stripe as a whole is down: not the event's fault, so no try is counted.
STRIPE_AWAY = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    stripe.AuthenticationError,
    requests.RequestException,
    OutcomeUnknown,
)
NO_OTHER_EITHER = (stripe.AuthenticationError, breaker.NotAsked)
# What needs more of Stripe than dj-stripe has stored, by its object's id; after the receivers' transaction.
FOLLOW_UPS: dict[str, Callable[[str], None]] = {
    "invoice.paid": settle_paid_invoice,
    "invoice.payment_failed": look_at_decline,
    "invoice.payment_action_required": look_at_decline,
    "payment_method.automatically_updated": look_at_card,
    "payment_method.updated": look_at_card,
    "payment_method.detached": look_at_card,
    "customer.deleted": look_at_customer,
    "refund.created": look_at_refund,
    "refund.updated": look_at_refund,
    "refund.failed": look_at_refund,
    "charge.dispute.created": look_at_dispute,
    "charge.dispute.updated": look_at_dispute,
    "charge.dispute.funds_withdrawn": look_at_dispute,
    "charge.dispute.funds_reinstated": look_at_dispute,
    "charge.dispute.closed": look_at_dispute,
    "radar.early_fraud_warning.created": look_at_warning,
    "radar.early_fraud_warning.updated": look_at_warning,
    "invoice.voided": look_at_ended_invoice,
    "invoice.marked_uncollectible": look_at_ended_invoice,
}


def process_due_events() -> bool:
    """Handle what is due for as long as a task may take, in at most half of all workers: a burst leaves the
    others free. True if some is left and Stripe answers."""
    if Instance.why_quarantined():
        return False
    due = StripeEvent.objects.due().order_by("next_try_at")
    workers = max(1, settings.Q_WORKERS // 2)
    with free_slot(LOCK_CLASS, of=workers) as slot:
        if slot is None:
            return False
        # Those of its own first, so that they do not all try to claim the same.
        events = sorted(due[:AT_ONCE], key=lambda event: event.pk % workers != slot)
        for event in breaker.while_it_answers(events):
            if not process_event(event):
                return False
    # After the slot is free: what came meanwhile found none.
    return due.exists() and not breaker.is_away()


def process_event(event: StripeEvent) -> bool:
    """Handle one event of the inbox unless it is done, not due, or taken by another worker. Safe to repeat.
    False if no other event can be handled now either. In quarantine it stays in the inbox.

    dj-stripe's `Event.process` fetches the object, stores it and calls our receivers in one transaction; its
    `Event` row commits with their work, so a second pass over the same event does nothing.
    """
    if Instance.why_quarantined() or not event.claim():
        return True
    data = json.loads(event.body)
    if reason := _why_ignored(event, data):
        event.finish(StripeEventStatus.IGNORED, reason)
        return True
    try:
        with happened(at=instant(data["created"])):
            again_after_deadlock(Event.process)(data)
            if follow_up := FOLLOW_UPS.get(event.type):
                follow_up(data["data"]["object"]["id"])
    except Exception as error:
        return _failed(event, error)
    event.finish(StripeEventStatus.PROCESSED)
    breaker.answered()
    return True


def _why_ignored(event: StripeEvent, data: dict[str, Any]) -> str:
    if event.livemode != settings.STRIPE_LIVE_MODE:
        return "wrong livemode"
    if data.get("account"):
        return "an event of another account"
    if event.type not in EVENT_TYPES:
        return "a type that we do not handle"
    if event.type == "invoice.voided" and _asked_with(data).startswith(f"{VOID_KEY}:"):
        return "we asked for it"
    return ""


def _asked_with(data: dict[str, Any]) -> str:
    """The idempotency key of the request that made the event; in very old versions there is only its id."""
    request = data.get("request")
    return str(request.get("idempotency_key") or "") if isinstance(request, dict) else ""


def _failed(event: StripeEvent, error: Exception) -> bool:
    """Return it to the inbox or park it; False if no other can be handled now either."""
    note = f"{type(error).__name__}: {error}"
    is_away = isinstance(error, STRIPE_AWAY) or (
        isinstance(error, stripe.APIError) and (error.http_status or 0) >= 500
    )
    logger.warning("stripe event %s failed: %s", event.stripe_id, error, exc_info=not is_away)
    breaker.note_failure(error)
    if is_away:
        event.try_again_in(timedelta(minutes=1), note, counted=False)
    elif event.tries < MAX_TRIES:
        event.try_again_in(timedelta(minutes=min(2 ** (event.tries - 1), 60)), note)
    else:
        event.finish(StripeEventStatus.PARKED, note)
        StaffTask.open(MoneyTask.EVENT_PARKED, event, note)
    return not isinstance(error.__cause__ or error, NO_OTHER_EITHER)
