"""Our webhook endpoint: at Stripe, as its row in dj-stripe's table, and with the owner account that the first
event would need."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from djstripe.models import APIKey, WebhookEndpoint

from billing.stripe import gateway
from billing.stripe.event_types import EVENT_TYPES


@dataclass(frozen=True)
class Registered:
    endpoint: WebhookEndpoint
    done: str
    """What changed, in words."""


@dataclass(frozen=True)
class _AtStripe:
    id: str
    secret: str
    done: str
    replaced: list[str]
    """Ids of endpoints for the same address that are no longer needed."""


def register_endpoint(*, identity: uuid.UUID, remote: bool) -> Registered:
    """Store the endpoint under `identity`, which is part of its address.

    With `remote` the endpoint at Stripe is created, or gets the event types that it lacks. One whose secret
    is not known here, or that sends another API version, is replaced: Stripe shows no secret twice, and
    changes no version. Safe to repeat. Raises `gateway.StripeRefused` or `gateway.OutcomeUnknown`.
    """
    url = settings.SITE_URL + reverse("djstripe:djstripe_webhook_by_uuid", args=[identity])
    known = WebhookEndpoint.objects.filter(djstripe_uuid=identity).first()
    if remote:
        found = _at_stripe(url, known)
    else:
        stripe_id = known.id if known else f"we_{identity.hex}"
        found = _AtStripe(stripe_id, settings.STRIPE_WEBHOOK_SECRET, "Stored with STRIPE_WEBHOOK_SECRET.", [])
    _ensure_owner_account()
    if known and known.id != found.id:
        known.delete()
    endpoint, _ = WebhookEndpoint.objects.update_or_create(
        id=found.id,
        defaults={
            "djstripe_uuid": identity,
            "secret": found.secret,
            "livemode": settings.STRIPE_LIVE_MODE,
            "url": url,
            "enabled_events": EVENT_TYPES,
            "status": "enabled",
            "api_version": settings.STRIPE_API_VERSION,
        },
    )
    for stripe_id in found.replaced:
        gateway.delete_webhook_endpoint(stripe_id)
    return Registered(endpoint, found.done)


def _at_stripe(url: str, known: WebhookEndpoint | None) -> _AtStripe:
    there = gateway.list_webhook_endpoints(url)
    for row in there:
        # The setting is for one that was made in Stripe's dashboard.
        set_by_hand = settings.STRIPE_WEBHOOK_SECRET if len(there) == 1 else ""
        secret = known.secret if known and known.id == row["id"] else set_by_hand
        if secret and row["api_version"] == settings.STRIPE_API_VERSION:
            others = [other["id"] for other in there if other != row]
            return _AtStripe(row["id"], secret, _brought_up_to_date(row) + _replaced_words(others), others)
    # A key of its own for each try: under an older one Stripe would show again what was deleted since.
    made = gateway.create_webhook_endpoint(url, key=f"we:{uuid.uuid4()}")
    others = [row["id"] for row in there]
    return _AtStripe(made["id"], made["secret"], f"Created at Stripe.{_replaced_words(others)}", others)


def _brought_up_to_date(row: gateway.Object) -> str:
    before, wanted = set(row["enabled_events"]), set(EVENT_TYPES)
    done = [
        f"{words} {', '.join(sorted(types))}."
        for words, types in (("Added:", wanted - before), ("Removed:", before - wanted))
        if types
    ]
    if row["status"] != "enabled":
        done.append("Turned on again.")
    if not done:
        return "Nothing to change."
    gateway.update_webhook_endpoint(row["id"])
    return " ".join(done)


def _replaced_words(ids: Iterable[str]) -> str:
    return "".join(f" Deleted {stripe_id}, which it replaces." for stripe_id in ids)


def _ensure_owner_account() -> None:
    """Otherwise the first event on an empty database costs four more calls, and fails while Stripe is
    away."""
    key, created = APIKey.objects.get_or_create_by_api_key(settings.STRIPE_SECRET_KEY)
    if created or key.djstripe_owner_account_id is None:
        key.refresh_account()
