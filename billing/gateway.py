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

from csf.models import Instance

Object = dict[str, Any]

EVENT_TYPES = [
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "setup_intent.succeeded",
]


class Refused(Exception):
    """Stripe said no, and nothing happened there."""

    def __init__(self, error: stripe.StripeError) -> None:
        super().__init__(error.user_message or str(error))
        self.code = error.code or ""
        self.param: str = getattr(error, "param", None) or ""


class Declined(Exception):
    """The bank said no. `error` is Stripe's error object."""

    def __init__(self, error: Object) -> None:
        super().__init__(str(error.get("message") or "declined"))
        self.error = error


class OutcomeUnknown(Exception):
    """No usable answer: it may or may not have happened. Only the same key may be tried again."""


class Quarantined(OutcomeUnknown):
    """Stripe was not asked: this installation may change nothing there."""


class _Client(stripe.RequestsClient):
    """The one place that every call passes. Reading is always allowed."""

    def request(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "get" and (why := Instance.why_quarantined()):
            raise Quarantined(why)
        return super().request(method, *args, **kwargs)


def limit_djstripe_calls() -> None:
    """dj-stripe uses the SDK's globals, which would let a hung Stripe hold a worker for four minutes."""
    stripe.default_http_client = _Client(timeout=settings.STRIPE_TIMEOUT_S)
    stripe.max_network_retries = 1


@lru_cache(maxsize=1)
def _client() -> stripe.StripeClient:
    # A StripeClient sees none of the SDK's globals.
    host = getattr(settings, "STRIPE_API_HOST", None)
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=1,
        http_client=_Client(timeout=settings.STRIPE_TIMEOUT_S),
        base_addresses={"api": host} if host else None,
    )


def _ask(call: Callable[[], stripe.StripeObject]) -> Object:
    try:
        return call().to_dict(for_json=True)  # amounts stay integers, nothing is a Decimal
    except stripe.CardError as error:
        body: Any = error.json_body or {}
        raise Declined(body.get("error") or {"code": error.code}) from error
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


def find_checkout_session(*, customer: str, attempt: str) -> Object | None:
    """The page that names this attempt, for when the answer to its making was lost."""
    params: Any = {"customer": customer, "limit": 100}
    found = _ask(lambda: _client().v1.checkout.sessions.list(params))["data"]
    return next((session for session in found if session["metadata"].get("attempt") == attempt), None)


def expire_checkout_session(session_id: str, *, key: str) -> Object:
    return _ask(lambda: _client().v1.checkout.sessions.expire(session_id, {}, {"idempotency_key": key}))


def create_invoice(*, customer: str | None, currency: str, metadata: Mapping[str, str], key: str) -> Object:
    params: Any = {
        "customer": customer,
        "currency": currency,
        "collection_method": "charge_automatically",
        "auto_advance": False,  # Stripe itself then neither finalizes, retries nor mails
        "pending_invoice_items_behavior": "exclude",
        "payment_settings": {"payment_method_types": ["card"]},
        "metadata": metadata,
    }
    return _ask(lambda: _client().v1.invoices.create(params, {"idempotency_key": key}))


def add_invoice_line(
    invoice_id: str, *, customer: str | None, amount_cents: int, currency: str, text: str, key: str
) -> Object:
    params: Any = {
        "invoice": invoice_id,
        "customer": customer,
        "amount": amount_cents,
        "currency": currency,
        "description": text,
    }
    return _ask(lambda: _client().v1.invoice_items.create(params, {"idempotency_key": key}))


def finalize_invoice(invoice_id: str, *, key: str) -> Object:
    params: Any = {"auto_advance": False}
    return _ask(lambda: _client().v1.invoices.finalize_invoice(invoice_id, params, {"idempotency_key": key}))


def pay_invoice(invoice_id: str, *, card: str, key: str) -> Object:
    """Charge a saved card without the parent. Raises Declined too."""
    params: Any = {"off_session": True, "payment_method": card}
    return _ask(lambda: _client().v1.invoices.pay(invoice_id, params, {"idempotency_key": key}))


def void_invoice(invoice_id: str, *, key: str) -> Object:
    return _ask(lambda: _client().v1.invoices.void_invoice(invoice_id, {}, {"idempotency_key": key}))


def retrieve_invoice(invoice_id: str) -> Object:
    return _ask(lambda: _client().v1.invoices.retrieve(invoice_id))


def find_invoice(*, customer: str | None, installment: str) -> Object | None:
    """The invoice that names this installment, for when the answer to its making was lost."""
    params: Any = {"customer": customer, "limit": 100}
    found = _ask(lambda: _client().v1.invoices.list(params))["data"]
    return next((invoice for invoice in found if invoice["metadata"].get("installment") == installment), None)


def last_payment_error(invoice_id: str) -> Object | None:
    """Why the last try to pay an invoice failed, in Stripe's words; None if there was none."""
    params: Any = {"invoice": invoice_id, "expand": ["data.payment.payment_intent"]}
    payments = _ask(lambda: _client().v1.invoice_payments.list(params))["data"]
    intents = [payment["payment"].get("payment_intent") for payment in payments]
    return next((intent["last_payment_error"] for intent in intents if isinstance(intent, dict)), None)


def create_setup_session(
    *, customer: str, currency: str, metadata: Mapping[str, str], back: str, key: str
) -> Object:
    """A page of Stripe's where a card is saved and nothing is charged."""
    params: Any = {
        "mode": "setup",
        "customer": customer,
        "currency": currency,
        "payment_method_types": ["card"],
        "setup_intent_data": {"metadata": metadata},
        "metadata": metadata,
        "success_url": f"{back}?saved=1",
        "cancel_url": back,
    }
    return _ask(lambda: _client().v1.checkout.sessions.create(params, {"idempotency_key": key}))


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
