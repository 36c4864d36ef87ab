"""Webhook deliveries as Stripe makes them, and the way of an event through view and worker."""

import json
import time
from typing import Any

import stripe
from django.test import Client
from djstripe.models import WebhookEndpoint

from billing.events.inbox import process_event
from billing.models import StripeEvent

SECRET = "whsec_" + "s" * 32
UUID = "11111111-1111-4111-8111-111111111111"
PATH = f"/stripe/webhook/{UUID}/"


def create_endpoint() -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(
        id="we_test",
        djstripe_uuid=UUID,
        secret=SECRET,
        url=f"https://example.org{PATH}",
        livemode=False,
        enabled_events=["*"],
        status="enabled",
        api_version="2026-08-26.dahlia",
    )


def event_body(**changes: Any) -> dict[str, Any]:
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": int(time.time()),
        "api_version": "2026-08-26.dahlia",
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
    }
    return event | changes


def signature(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    signed_at = int(at or time.time())
    digest = stripe.WebhookSignature._compute_signature(f"{signed_at}.{body.decode('latin-1')}", secret)
    return f"t={signed_at},v1={digest}"


def deliver(
    body: bytes | dict[str, Any], *, header: str | None = None, path: str = PATH, client: Client | None = None
) -> int:
    """Post to the webhook; signed as by Stripe unless a header is given. The HTTP status."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = (client or Client(raise_request_exception=False)).post(
        path,
        raw,
        content_type="application/json",
        headers={"Stripe-Signature": signature(raw) if header is None else header},
    )
    return sent.status_code


def work_off_inbox() -> None:
    """What the worker does for every event that is due."""
    for event in StripeEvent.objects.due().order_by("pk"):
        process_event(event)
