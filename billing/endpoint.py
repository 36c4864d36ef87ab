"""Our webhook endpoint: its row in dj-stripe's table, and the owner account that the first event would
need."""

import uuid

from django.conf import settings
from django.urls import reverse
from djstripe.models import APIKey, WebhookEndpoint

from billing import gateway
from billing.event_types import EVENT_TYPES


def register_endpoint(*, identity: uuid.UUID, remote: bool) -> WebhookEndpoint:
    """Store the endpoint under `identity`, which is part of its address.

    With `remote` it is created at Stripe, which gives the secret; a repeat for the same address changes
    nothing there. Raises `gateway.Refused` or `gateway.OutcomeUnknown`.
    """
    url = settings.SITE_URL + reverse("djstripe:djstripe_webhook_by_uuid", args=[identity])
    made = gateway.create_webhook_endpoint(url, key=f"we:{identity}:{url}") if remote else None
    _ensure_owner_account()
    known = WebhookEndpoint.objects.filter(djstripe_uuid=identity).first()
    stripe_id = made["id"] if made else (known.id if known else f"we_{identity.hex}")
    if known and known.id != stripe_id:
        known.delete()
    endpoint, _ = WebhookEndpoint.objects.update_or_create(
        id=stripe_id,
        defaults={
            "djstripe_uuid": identity,
            "secret": made["secret"] if made else settings.STRIPE_WEBHOOK_SECRET,
            "livemode": settings.STRIPE_LIVE_MODE,
            "url": url,
            "enabled_events": EVENT_TYPES,
            "status": "enabled",
            "api_version": settings.STRIPE_API_VERSION,
        },
    )
    return endpoint


def _ensure_owner_account() -> None:
    """Otherwise the first event on an empty database costs four more calls, and fails while Stripe is
    away."""
    key, created = APIKey.objects.get_or_create_by_api_key(settings.STRIPE_SECRET_KEY)
    if created or key.djstripe_owner_account_id is None:
        key.refresh_account()
