"""Whether Stripe answers, and whether its webhooks arrive with a valid signature.

Each minute one look at its own list of events answers the first (billing/stripe/breaker.py counts) and the
second; the view notes the third.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet

from billing.events.reconcile import PARTS, WEBHOOK_TAKES, store
from billing.models import StripeEvent
from billing.stripe import breaker, gateway, secret_key
from csf.models import Breaker, Instance

logger = logging.getLogger(__name__)

LOOK_AT = timedelta(minutes=3)
REFUSED_AT = "stripe_webhook_refused_at"  # in the shared cache
REFUSED_LIFE_S = 24 * 3600


def look(*, now: datetime) -> None:
    """Ask for the events of some minutes ago, and put those that no webhook delivered into the inbox."""
    if Instance.why_quarantined() or not settings.STRIPE_SECRET_KEY or not breaker.may_begin():
        return
    until = now - WEBHOOK_TAKES
    try:
        for types in PARTS:
            # The newest hundred are enough to see it; the hourly pull brings the rest.
            store(next(gateway.list_events(since=until - LOOK_AT, until=until, types=types)))
    except (gateway.OutcomeUnknown, gateway.StripeRefused) as error:
        logger.warning("Stripe cannot be asked: %s", error)  # the breaker counts it
    else:
        secret_key.accepted()
        Breaker.answered(breaker.NAME)  # also what workers have counted that are gone by now


def note_refused(*, now: datetime) -> None:
    cache.set(REFUSED_AT, now, REFUSED_LIFE_S)


def refused_at() -> datetime | None:
    """When a webhook was last refused for its signature; None if a valid one has arrived since."""
    at: datetime | None = cache.get(REFUSED_AT)
    delivered = StripeEvent.objects.filter(was_pulled=False).order_by("-pk")
    last = delivered.values_list("received_at", flat=True).first()
    return None if at and last and last > at else at


def without_webhook(*, since: datetime) -> QuerySet[StripeEvent]:
    """Events that we found by asking, long after a webhook should have delivered them."""
    return StripeEvent.objects.filter(was_pulled=True, received_at__gte=since)
