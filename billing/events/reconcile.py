"""Catching up on what webhooks did not report: Stripe's own list of events, and pages that should be closed
by now."""

import datetime
import json
import logging
import time
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q

from billing.checkout.payment_page import close_page, recover_page
from billing.models import ChargeAttempt, ChargeKind, StripeEvent
from billing.stripe import gateway, secret_key
from billing.stripe.breaker import while_it_answers
from billing.stripe.event_types import EVENT_TYPES, TYPES_AT_ONCE
from billing.stripe.page_calls import StripeUnavailable
from csf import clock
from csf.jobs.for_each import for_each
from csf.jobs.queue import enqueue_once
from csf.jobs.time_budget import LOOP_S, ends_at
from csf.state import Stale

logger = logging.getLogger(__name__)

# A page that ended this long ago should have been reported.
PATIENCE = timedelta(minutes=10)
# A webhook comes within seconds; one that was not taken is repeated much later.
WEBHOOK_TAKES = timedelta(minutes=2)


PARTS = [EVENT_TYPES[start : start + TYPES_AT_ONCE] for start in range(0, len(EVENT_TYPES), TYPES_AT_ONCE)]


class Pulled(NamedTuple):
    new: int
    """How many events were new to us."""
    next_after: str
    """The event after which to continue; empty if all are here."""
    part: int
    """Where to continue in PARTS."""


def pull_events(
    *, since: datetime.datetime, after: str = "", part: int = 0, seconds: float = LOOP_S
) -> Pulled:
    """Put Stripe's events since then into the inbox, of each part newest first, until the time is up.

    From there they take the way of a webhook. Raises `gateway.OutcomeUnknown` or `gateway.StripeRefused`;
    each page is stored before the next is asked for, and what was stored stays.
    """
    new, deadline = 0, ends_at(seconds)
    for number, types in enumerate(PARTS[part:], start=part):
        for page in gateway.list_events(since=since, types=types, after=after):
            secret_key.accepted()
            new += store(page)
            if page and time.monotonic() > deadline:
                return Pulled(new, page[-1]["id"], number)
        after = ""
    return Pulled(new, "", part)


def store(page: list[gateway.Object]) -> int:
    """How many of a page's events were new; oldest first, as webhooks bring them."""
    reported_until = clock.now().timestamp() - WEBHOOK_TAKES.total_seconds()
    rows = [
        StripeEvent(
            stripe_id=event["id"],
            type=event["type"],
            livemode=event["livemode"],
            body=json.dumps(event),
            was_pulled=event["created"] <= reported_until,
        )
        for event in reversed(page)
    ]
    stored = StripeEvent.objects.filter(stripe_id__in=[row.stripe_id for row in rows])
    known = set(stored.values_list("stripe_id", flat=True))
    missing = [row for row in rows if row.stripe_id not in known]
    with transaction.atomic():
        StripeEvent.objects.bulk_create(missing, ignore_conflicts=True)
        if missing:
            enqueue_once("billing.tasks.process_events")
    return len(missing)


def settle_finished_pages(*, now: datetime.datetime) -> int:
    """Ask Stripe about payment pages that ended without a report, until the time is up; return how many were
    settled."""
    settled: list[int] = []
    # One without a page at Stripe that we know of belongs to a hold, which sees to it, or to an installment.
    known = Q(stripe_session_id__isnull=False) | Q(kind=ChargeKind.PAGE)
    forgotten = ChargeAttempt.objects.payable().filter(known, session_expires_at__lt=now - PATIENCE)
    # In any order: a page that cannot be settled must not block the others each time.
    rows = forgotten.select_related("installment__order").order_by("?")

    def settle(attempt: ChargeAttempt) -> None:
        try:
            if not attempt.stripe_session_id:
                recover_page(attempt)
            if attempt.stripe_session_id:
                close_page(attempt)
            settled.append(attempt.pk)
        except (StripeUnavailable, Stale) as error:
            logger.warning("payment page of attempt %s is not settled: %r", attempt.pk, error)

    for_each(rows, settle, doing="settling a payment page", in_time=while_it_answers)
    return len(settled)
