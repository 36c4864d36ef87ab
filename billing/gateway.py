"""Every call to Stripe that this project makes itself. Nothing else talks to Stripe but dj-stripe's own sync.

An answer is yes (the returned object as a plain dict), no (`Refused`) or unknown (`OutcomeUnknown`). Each
write has an idempotency key made from a row that was committed before the call, so repeating it is safe.
"""

import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings

Object = dict[str, Any]

EVENT_TYPES = [
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
]


class Refused(Exception):
    """Stripe said no, and nothing happened there."""

    def __init__(self, error: stripe.StripeError) -> None:
        super().__init__(error.user_message or str(error))
        self.code = error.code or ""
        self.param: str = getattr(error, "param", None) or ""


class OutcomeUnknown(Exception):
    """No usable answer: it may or may not have happened. Only the same key may be tried again."""


def limit_djstripe_calls() -> None:
    """dj-stripe uses the SDK's globals, which would let a hung Stripe hold a worker for four minutes."""
    stripe.default_http_client = stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_S)
    stripe.max_network_retries = 1


@lru_cache(maxsize=1)
def _client() -> stripe.StripeClient:
    # A StripeClient sees none of the SDK's globals.
    host = getattr(settings, "STRIPE_API_HOST", None)
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=1,
        http_client=stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_S),
        base_addresses={"api": host} if host else None,
    )


def _ask(call: Callable[[], stripe.StripeObject]) -> Object:
    try:
        return call().to_dict()
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        raise Refused(error) from error
    except stripe.StripeError as error:  # timeouts, cuts, 5xx, 429, 409, a revoked key
        raise OutcomeUnknown(str(error)) from error


def create_customer(*, email: str, name: str, metadata: Mapping[str, str], key: str) -> Object:
    params: Any = {"email": email, "name": name, "metadata": metadata}
    return _ask(lambda: _client().v1.customers.create(params, {"idempotency_key": key}))


def create_checkout_session(params: Mapping[str, Any], *, key: str) -> Object:
    wanted: Any = params
    return _ask(lambda: _client().v1.checkout.sessions.create(wanted, {"idempotency_key": key}))


def retrieve_checkout_session(session_id: str) -> Object:
    return _ask(
        lambda: _client().v1.checkout.sessions.retrieve(
            session_id, {"expand": ["payment_intent.payment_method"]}
        )
    )


def expire_checkout_session(session_id: str, *, key: str) -> Object:
    return _ask(lambda: _client().v1.checkout.sessions.expire(session_id, {}, {"idempotency_key": key}))


def list_events(*, since: datetime.datetime) -> Iterator[list[tuple[Object, str]]]:
    """Our types of events since then, oldest first, in pages of parsed event and JSON text."""
    wanted = {"types": EVENT_TYPES, "created": {"gte": int(since.timestamp())}, "limit": 100}
    pages = [_events(wanted)]
    while pages[-1]["has_more"]:
        pages.append(_events(wanted | {"starting_after": pages[-1]["data"][-1]["id"]}))
    for page in reversed(pages):  # Stripe gives the newest first
        yield [(event, json.dumps(event)) for event in reversed(page["data"])]


def _events(params: Any) -> Object:
    return _ask(lambda: _client().v1.events.list(params))


def create_webhook_endpoint(url: str, *, key: str) -> Object:
    params: Any = {"url": url, "enabled_events": EVENT_TYPES, "api_version": settings.STRIPE_API_VERSION}
    return _ask(lambda: _client().v1.webhook_endpoints.create(params, {"idempotency_key": key}))


def instant(epoch: int) -> datetime.datetime:
    """Stripe's seconds since 1970 as UTC."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC)
