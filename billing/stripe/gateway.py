"""Every call to Stripe that this project makes itself. Nothing else talks to Stripe but dj-stripe's own sync.

An answer is yes (the returned object as a plain dict), no (`StripeRefused`) or unknown (`OutcomeUnknown`).
Each write has an idempotency key made from a row that was committed before the call, so repeating it is safe.
"""

import datetime
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings

from billing.stripe import breaker
from billing.stripe.breaker import NotAsked
from billing.stripe.event_types import EVENT_TYPES
from csf.http_client import Ambiguous, HttpClient, NotSent
from csf.jobs.time_budget import left_for_calls_s
from csf.models import Instance

Object = dict[str, Any]

LONGEST_NAME = 200  # of the school; Stripe takes 250 letters for what is bought, with the order's number

PAGE_S = 5.0
CONNECT_SHARE = 0.3  # of the time for one call
_wait_until: ContextVar[float | None] = ContextVar("_wait_until", default=None)


class StripeRefused(Exception):
    """Stripe said no, and nothing happened there."""

    def __init__(self, error: stripe.StripeError) -> None:
        super().__init__(error.user_message or str(error))
        self.code = error.code or ""
        self.param: str = getattr(error, "param", None) or ""

    @property
    def is_missing(self) -> bool:
        """What the request names is not there: deleted, of the other mode, or of another account."""
        return self.code == "resource_missing"

    @property
    def is_no_such_customer(self) -> bool:
        return self.is_missing and self.param == "customer"


class KeyReused(StripeRefused):
    """An earlier request had the same key and other parameters, and was carried out or not. What it made can
    be looked for."""


class Declined(Exception):
    """The bank said no. `error` is Stripe's error object."""

    def __init__(self, error: Object) -> None:
        super().__init__(str(error.get("message") or "declined"))
        self.error = error


class OutcomeUnknown(Exception):
    """No usable answer: it may or may not have happened. Only the same key may be tried again."""


class Quarantined(OutcomeUnknown):
    """Stripe was not asked: this installation may change nothing there."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """While a person waits: all calls inside together take at most `seconds`, and none is repeated."""
    until = time.monotonic() + seconds
    token = _wait_until.set(min(until, _wait_until.get() or until))
    try:
        yield
    finally:
        _wait_until.reset(token)


class _Client(stripe.HTTPClient):
    """The one place that every call passes. Reading is always allowed.

    Each thread has a connection of its own. The SDK asks again after an APIConnectionError: each write has
    its key.
    """

    name = "kept"

    def __init__(self) -> None:
        super().__init__()
        self._mine = threading.local()

    def request(  # type: ignore[override] # the SDK's own clients take and give these
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        if method != "get" and (why := Instance.why_quarantined()):
            raise Quarantined(why)
        if breaker.must_not_ask():
            raise NotAsked("Stripe has not answered for a while", should_retry=False)  # type: ignore[no-untyped-call]
        body = None if post_data is None else post_data.encode()
        try:
            answer = self._connection().ask(
                method.upper(), url, body=body, headers=headers, timeout_s=_timeout_s()
            )
        except (NotSent, Ambiguous) as error:
            again = _wait_until.get() is None
            raise stripe.APIConnectionError(str(error), should_retry=again) from error  # type: ignore[no-untyped-call]
        # A message's headers are a case-insensitive mapping, as the SDK expects.
        return answer.body, answer.status, answer.headers  # type: ignore[return-value]

    def _connection(self) -> HttpClient:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = HttpClient(authorities=stripe.ca_bundle_path)
        connection: HttpClient = self._mine.connection
        return connection


def _timeout_s() -> tuple[float, float]:
    """For connecting and for the answer."""
    until, limit_s = _wait_until.get(), settings.STRIPE_TIMEOUT_S
    left_s = min(left_for_calls_s(), math.inf if until is None else until - time.monotonic())
    if left_s <= 0:
        raise NotAsked("there is no time left to wait", should_retry=False)  # type: ignore[no-untyped-call]
    if left_s >= 2 * limit_s:
        return limit_s, limit_s
    return min(limit_s, left_s * CONNECT_SHARE), min(limit_s, left_s * (1 - CONNECT_SHARE))


def limit_djstripe_calls() -> None:
    """dj-stripe uses the SDK's globals, which would let a hung Stripe hold a worker for four minutes."""
    stripe.default_http_client = _Client()
    stripe.max_network_retries = 1


@lru_cache(maxsize=1)
def _client() -> stripe.StripeClient:
    # A StripeClient sees none of the SDK's globals.
    host = getattr(settings, "STRIPE_API_HOST", None)
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=1,
        http_client=_Client(),
        base_addresses={"api": host} if host else None,
    )


def _ask(method: str, path: str, params: Mapping[str, Any], *, key: str | None = None) -> Object:
    """The answer as it was sent: amounts are integers, and the SDK's unused objects of an invoice would take
    more CPU than the call itself."""
    try:
        answer: Any = _client().raw_request(method, path, **params, idempotency_key=key)
    except stripe.StripeError as error:
        breaker.note_failure(error)
        raise _meaning(error) from error
    breaker.answered()
    found: Object = answer.data
    return found


def _meaning(error: stripe.StripeError) -> Declined | StripeRefused | OutcomeUnknown:
    match error:
        case stripe.CardError():
            body: Any = error.json_body or {}
            return Declined(body.get("error") or {"code": error.code})
        case stripe.IdempotencyError():
            return KeyReused(error)
        case stripe.InvalidRequestError():
            return StripeRefused(error)
    return OutcomeUnknown(str(error))  # no answer, 5xx, 429, 409, a revoked key


def _get(path: str, **params: Any) -> Object:
    return _ask("get", path, params)


def _post(path: str, params: Mapping[str, Any], *, key: str) -> Object:
    return _ask("post", path, params, key=key)


def create_customer(*, email: str, name: str, metadata: Mapping[str, str], key: str) -> Object:
    return _post("/v1/customers", {"email": email, "name": name, "metadata": metadata}, key=key)


def retrieve_payment_intent(payment_intent: str) -> Object:
    return _get(f"/v1/payment_intents/{payment_intent}", expand=["payment_method"])


def find_customer(customer_id: str) -> Object | None:
    """None for one that was deleted, or never was."""
    try:
        found = _get(f"/v1/customers/{customer_id}")
    except StripeRefused as error:
        if error.is_missing:
            return None
        raise
    return None if found.get("deleted") else found


def create_checkout_session(params: Mapping[str, Any], *, key: str) -> Object:
    return _post("/v1/checkout/sessions", params, key=key)


def retrieve_checkout_session(session_id: str) -> Object:
    return _get(f"/v1/checkout/sessions/{session_id}", expand=["payment_intent.payment_method"])


def find_checkout_session(*, customer: str, attempt: str) -> Object | None:
    """The page that names this attempt, for when the answer to its making was lost."""
    found = _get("/v1/checkout/sessions", customer=customer, limit=100)["data"]
    return next((session for session in found if session["metadata"].get("attempt") == attempt), None)


def expire_checkout_session(session_id: str, *, key: str) -> Object:
    return _post(f"/v1/checkout/sessions/{session_id}/expire", {}, key=key)


def create_invoice(*, customer: str | None, currency: str, metadata: Mapping[str, str], key: str) -> Object:
    params = {
        "customer": customer,
        "currency": currency,
        "collection_method": "charge_automatically",
        "auto_advance": False,  # Stripe itself then neither finalizes, retries nor mails
        "pending_invoice_items_behavior": "exclude",
        "payment_settings": {"payment_method_types": ["card"]},
        "metadata": metadata,
    }
    return _post("/v1/invoices", params, key=key)


def add_invoice_line(
    invoice_id: str, *, customer: str | None, amount_cents: int, currency: str, text: str, key: str
) -> Object:
    params = {
        "invoice": invoice_id,
        "customer": customer,
        "amount": amount_cents,
        "currency": currency,
        "description": text,
    }
    return _post("/v1/invoiceitems", params, key=key)


def finalize_invoice(invoice_id: str, *, key: str) -> Object:
    return _post(f"/v1/invoices/{invoice_id}/finalize", {"auto_advance": False}, key=key)


def pay_invoice(invoice_id: str, *, card: str, key: str) -> Object:
    """Charge a saved card without the parent. Raises Declined too."""
    params = {"off_session": True, "payment_method": card}
    return _post(f"/v1/invoices/{invoice_id}/pay", params, key=key)


def void_invoice(invoice_id: str, *, key: str) -> Object:
    return _post(f"/v1/invoices/{invoice_id}/void", {}, key=key)


def delete_draft(invoice_id: str) -> None:
    """Needs no key: a draft can be deleted once, and one that was finalized meanwhile cannot."""
    _ask("delete", f"/v1/invoices/{invoice_id}", {})


def retrieve_invoice(invoice_id: str) -> Object:
    """With what was paid outside of Stripe, which Stripe leaves out unless it is asked for."""
    return _get(f"/v1/invoices/{invoice_id}", expand=["amount_paid_off_stripe"])


def find_invoice(*, customer: str | None, installment: str, number: int) -> Object | None:
    """An installment's first, second, ... invoice, for when the answer to its making was lost."""
    found = _get("/v1/invoices", customer=customer, limit=100)["data"]
    wanted = (installment, str(number))
    for invoice in found:
        metadata = invoice["metadata"]
        if (metadata.get("installment"), metadata.get("number", "1")) == wanted:
            return Object(invoice)
    return None


def last_payment_error(invoice_id: str) -> Object | None:
    """Why the last try to pay an invoice failed, in Stripe's words; None if there was none. Raises
    OutcomeUnknown while the bank has not answered."""
    expand = ["data.payment.payment_intent"]
    payments = _get("/v1/invoice_payments", invoice=invoice_id, expand=expand)["data"]
    intents = [payment["payment"].get("payment_intent") for payment in payments]
    errors = []
    for intent in intents:
        if isinstance(intent, dict):
            if intent["status"] == "processing":
                raise OutcomeUnknown(f"the payment of invoice {invoice_id} is still processing")
            errors.append(intent["last_payment_error"])
    return next(iter(errors), None)


def create_setup_session(
    *, customer: str, currency: str, metadata: Mapping[str, str], back: str, key: str
) -> Object:
    """A page of Stripe's where a card is saved and nothing is charged."""
    params = {
        "mode": "setup",
        "customer": customer,
        "currency": currency,
        "payment_method_types": ["card"],
        "setup_intent_data": {"metadata": metadata},
        "metadata": metadata,
        "success_url": f"{back}?saved={metadata['card_update']}",
        "cancel_url": back,
    }
    return create_checkout_session(params, key=key)


def find_payment_method(method_id: str) -> Object | None:
    """A card as Stripe has it now; None if it never had it, or has it no longer. Of a card that was removed
    from its customer, or whose customer was deleted, the `customer` is empty."""
    try:
        return _get(f"/v1/payment_methods/{method_id}")
    except StripeRefused as refused:
        if refused.code == "resource_missing":
            return None
        raise


def create_refund(*, payment_intent: str, amount_cents: int, metadata: Mapping[str, str], key: str) -> Object:
    params = {
        "payment_intent": payment_intent,
        "amount": amount_cents,
        "reason": "requested_by_customer",
        "metadata": metadata,
    }
    return _post("/v1/refunds", params, key=key)


def retrieve_refund(refund_id: str) -> Object:
    return _get(f"/v1/refunds/{refund_id}")


def find_refund(*, payment_intent: str, refund: str) -> Object | None:
    """The refund that names ours, for when the answer to its making was lost."""
    found = _get("/v1/refunds", payment_intent=payment_intent, limit=100)["data"]
    return next((row for row in found if row["metadata"].get("refund") == refund), None)


def intent_of_invoice(invoice_id: str) -> str:
    """The PaymentIntent that paid an invoice; only Stripe knows. Raises OutcomeUnknown if none did."""
    for payment in _get("/v1/invoice_payments", invoice=invoice_id, status="paid")["data"]:
        if intent := payment["payment"].get("payment_intent"):
            return str(intent)
    raise OutcomeUnknown(f"Stripe names no payment of invoice {invoice_id}")


def intent_of_charge(charge_id: str) -> str:
    return str(_get(f"/v1/charges/{charge_id}")["payment_intent"])


def invoice_of_intent(payment_intent: str) -> str | None:
    """The invoice that a PaymentIntent pays; None if it pays none."""
    payment = {"type": "payment_intent", "payment_intent": payment_intent}
    found = _get("/v1/invoice_payments", payment=payment)["data"]
    return str(found[0]["invoice"]) if found else None


def retrieve_dispute(dispute_id: str) -> Object:
    return _get(f"/v1/disputes/{dispute_id}")


def retrieve_fraud_warning(warning_id: str) -> Object:
    return _get(f"/v1/radar/early_fraud_warnings/{warning_id}")


def list_charges(*, since: datetime.datetime, until: datetime.datetime) -> Iterator[Object]:
    return _listed("/v1/charges", since, until)


def list_refunds(*, since: datetime.datetime, until: datetime.datetime) -> Iterator[Object]:
    return _listed("/v1/refunds", since, until)


def list_disputes(*, since: datetime.datetime, until: datetime.datetime) -> Iterator[Object]:
    return _listed("/v1/disputes", since, until)


def list_open_invoices(*, since: datetime.datetime, until: datetime.datetime) -> Iterator[Object]:
    return _listed("/v1/invoices", since, until, status="open")


def _listed(
    path: str, since: datetime.datetime, until: datetime.datetime, **filters: str
) -> Iterator[Object]:
    """What was created from `since` to before `until`, newest first, page by page."""
    wanted: Object = {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": 100}
    wanted |= filters
    page = _get(path, **wanted)
    yield from page["data"]
    while page["has_more"]:
        page = _get(path, **wanted, starting_after=page["data"][-1]["id"])
        yield from page["data"]


def list_events(
    *,
    since: datetime.datetime,
    until: datetime.datetime | None = None,
    types: Sequence[str],
    after: str = "",
) -> Iterator[list[Object]]:
    """Events of at most TYPES_AT_ONCE types since then, newest first, page by page; only those before the
    event `after`, if one is given."""
    created = {"gte": int(since.timestamp())} | ({"lte": int(until.timestamp())} if until else {})
    wanted: Object = {"types": types, "created": created, "limit": 100}
    more = True
    while more:
        page = _get("/v1/events", **wanted, **({"starting_after": after} if after else {}))
        yield page["data"]
        more, after = page["has_more"], page["data"][-1]["id"] if page["data"] else ""


def list_webhook_endpoints(url: str) -> list[Object]:
    """Those for this address, newest first, without their secrets. An account has 16 of them at the most."""
    found = _get("/v1/webhook_endpoints", limit=100)["data"]
    return [row for row in found if row["url"] == url]


def create_webhook_endpoint(url: str, *, key: str) -> Object:
    params = {"url": url, "enabled_events": EVENT_TYPES, "api_version": settings.STRIPE_API_VERSION}
    return _post("/v1/webhook_endpoints", params, key=key)


def update_webhook_endpoint(endpoint_id: str) -> None:
    """Needs no key: it sets the endpoint to the same values, however often it runs."""
    params = {"enabled_events": EVENT_TYPES, "disabled": False}
    _ask("post", f"/v1/webhook_endpoints/{endpoint_id}", params)


def delete_webhook_endpoint(endpoint_id: str) -> None:
    _ask("delete", f"/v1/webhook_endpoints/{endpoint_id}", {})
