"""Healing what webhooks did not tell: Stripe's own list of events, and pages that should be closed by now."""

import datetime
import logging
import time
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from billing import gateway
from billing.asking import StripeUnavailable
from billing.checkout import close_page, learn_page
from billing.models import ChargeAttempt, ChargeKind, StripeEvent
from csf.jobs import enqueue
from csf.state import Stale

logger = logging.getLogger(__name__)

# A page that ended this long ago should have told us so.
PATIENCE = timedelta(minutes=10)
BUDGET_S = 25.0  # each page may wait for Stripe, and the queue ends a task after 60 s


def pull_events(*, since: datetime.datetime) -> int:
    """Put Stripe's events since then into the inbox, oldest first, and return how many were new to us.

    They go the way of a webhook from there. Raises `gateway.OutcomeUnknown` or `gateway.Refused`; what was
    stored until then stays.
    """
    new = 0
    for page in gateway.list_events(since=since):
        rows = [
            StripeEvent(stripe_id=event["id"], type=event["type"], livemode=event["livemode"], body=body)
            for event, body in page
        ]
        told = StripeEvent.objects.filter(stripe_id__in=[row.stripe_id for row in rows])
        known = set(told.values_list("stripe_id", flat=True))
        missing = [row for row in rows if row.stripe_id not in known]
        with transaction.atomic():
            StripeEvent.objects.bulk_create(missing, ignore_conflicts=True)
            for row in missing:
                enqueue("billing.tasks.process_event", row.stripe_id)
        new += len(missing)
    return new


def settle_finished_pages(*, now: datetime.datetime) -> int:
    """Ask Stripe about payment pages that are over but did not say so, for BUDGET_S; returns how many were
    settled."""
    settled = 0
    deadline = time.monotonic() + BUDGET_S
    # One without a page at Stripe that we know of belongs to a hold, which sees to it, or to an installment.
    known = Q(stripe_session_id__isnull=False) | Q(kind=ChargeKind.PAGE)
    forgotten = ChargeAttempt.objects.payable().filter(known, session_expires_at__lt=now - PATIENCE)
    # In any order: a page that cannot be settled must not stand before the others each time.
    for attempt in forgotten.select_related("installment__order").order_by("?"):
        if time.monotonic() > deadline:
            break
        try:
            if not attempt.stripe_session_id:
                learn_page(attempt)
            if attempt.stripe_session_id:
                close_page(attempt)
            settled += 1
        except (StripeUnavailable, Stale) as error:
            logger.warning("payment page of attempt %s is not settled: %r", attempt.pk, error)
        except Exception:
            logger.exception("payment page of attempt %s cannot be settled", attempt.pk)
    return settled
