"""What the tests of the Stripe stand-in share: a client, a shop's calls, and an endpoint that hears
webhooks."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from tests.waiting import wait_until

KEY = "sk_test_" + "a" * 24
API_VERSION = "2026-08-26.dahlia"
TYPES = [
    "charge.succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
]


class Shop:
    """The product's calls to Stripe, and the clicks of its customer."""

    def __init__(self, server: StripeServer, *, retries: int = 0) -> None:
        self.server = server
        client = stripe.StripeClient(
            KEY,
            stripe_version=API_VERSION,
            base_addresses={"api": server.url},
            http_client=stripe.RequestsClient(timeout=60),
            max_network_retries=retries,
        )
        self.v = client.v1
        self.browser = requests.Session()

    def customer(self, key: str = "cus:1") -> stripe.Customer:
        params = {"email": "ada@example.org", "name": "Ada", "metadata": {"household": "h1"}}
        return self.v.customers.create(params, {"idempotency_key": key})

    def session_params(self, customer: str, **more: Any) -> dict[str, Any]:
        price = {"currency": "usd", "unit_amount": 4500, "product_data": {"name": "Football, under 9"}}
        ours = {"order": "o1", "installment": "i1", "attempt": "a1"}
        return {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": "o1",
            "payment_method_types": ["card"],
            "adaptive_pricing": {"enabled": False},
            "line_items": [{"price_data": price, "quantity": 2}],
            "payment_intent_data": {"metadata": ours, "setup_future_usage": "off_session"},
            "metadata": ours,
            "expires_at": self.now() + 1920,
            "success_url": "http://shop.test/thanks?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/cart",
            **more,
        }

    def session(self, key: str = "co:1", **more: Any) -> stripe.checkout.Session:
        params = self.session_params(self.customer().id, **more)
        return self.v.checkout.sessions.create(params, {"idempotency_key": key})

    def pay(self, session: str, card: str = "4242424242424242") -> requests.Response:
        return self.click(f"/pay/{session}", card=card)

    def setup_session(self, customer: str, key: str = "su:1", **more: Any) -> stripe.checkout.Session:
        params = {
            "mode": "setup",
            "customer": customer,
            "currency": "usd",
            "payment_method_types": ["card"],
            "setup_intent_data": {"metadata": {"purpose": "card_update", "user": "u1"}},
            "success_url": "http://shop.test/saved?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/cards",
            **more,
        }
        return self.v.checkout.sessions.create(params, {"idempotency_key": key})

    def saved_card(self, customer: str, card: str = "4242424242424242", key: str = "su:1") -> str:
        """The id of a payment method saved on the setup page, 3-D Secure passed where the bank asks."""
        session = self.setup_session(customer, key)
        answer = self.pay(session.id, card)
        if answer.headers.get("Location", "").endswith("/authenticate"):
            answer = self.click(f"/pay/{session.id}/authenticate", result="pass")
        assert answer.status_code == 303, answer.text
        return self.v.setup_intents.retrieve(str(session.setup_intent)).payment_method

    def invoice(self, customer: str, installment: str = "i2", cents: int = 4500) -> stripe.Invoice:
        """An installment's invoice as the product makes it, finalized."""
        draft = self.v.invoices.create(
            {
                "customer": customer,
                "collection_method": "charge_automatically",
                "auto_advance": False,
                "currency": "usd",
                "pending_invoice_items_behavior": "exclude",
                "payment_settings": {"payment_method_types": ["card"]},
                "metadata": {"installment": installment},
            },
            {"idempotency_key": f"inv:{installment}"},
        )
        item = {"customer": customer, "invoice": draft.id, "amount": cents, "currency": "usd"}
        self.v.invoice_items.create(
            {**item, "description": "Football, part 2"}, {"idempotency_key": f"ii:{installment}"}
        )
        key = {"idempotency_key": f"fin:{installment}"}
        return self.v.invoices.finalize_invoice(draft.id, {"auto_advance": False}, key)

    def charge(self, invoice: str, method: str, key: str | None = None, **more: Any) -> stripe.Invoice:
        options = {"idempotency_key": key} if key else {}
        params = {"off_session": True, "payment_method": method, **more}
        return self.v.invoices.pay(invoice, params, options)

    def decline(self, invoice: str, method: str, key: str | None = None, **more: Any) -> dict[str, Any]:
        """The error inside Stripe's 402."""
        with pytest.raises(stripe.CardError) as refused:
            self.charge(invoice, method, key, **more)
        assert refused.value.http_status == 402
        return refused.value.json_body["error"]

    def event_types(self) -> list[str]:
        """Oldest first."""
        return [event.type for event in self.v.events.list({"limit": 100}).data][::-1]

    def click(self, path: str, **form: str) -> requests.Response:
        return self.browser.post(self.server.url + path, data=form, allow_redirects=False, timeout=60)

    def now(self) -> int:
        return self.server.state.store.now()

    def listen(self, receiver: "Receiver", types: list[str] = TYPES) -> None:
        params = {"url": receiver.url, "enabled_events": types, "api_version": API_VERSION}
        endpoint = self.v.webhook_endpoints.create(params)
        receiver.secret = endpoint.secret or ""


class Receiver(ThreadingHTTPServer):
    """Verifies and keeps each event; answers with the next of `statuses`, else 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.secret = ""
        self.statuses: list[int] = []
        self.events: list[dict[str, Any]] = []

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.events) >= count)
        return self.events


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        stripe.WebhookSignature.verify_header(
            body, self.headers["Stripe-Signature"], self.server.secret, tolerance=300
        )
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.events.append(json.loads(body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def play_everything(shop: Shop) -> None:
    """A day on which everything happens that the stand-in knows."""
    paid, expired, open_ = shop.session("co:1"), shop.session("co:2"), shop.session("co:3")
    for card in ("4000000000000002", "4000000000000069", "4000002760003184"):
        shop.pay(paid.id, card)
    shop.click(f"/pay/{paid.id}/authenticate", result="fail")
    shop.pay(open_.id, "4000002760003184")
    shop.pay(paid.id)
    shop.pay(expired.id, "4000000000000002")
    shop.v.checkout.sessions.expire(expired.id)
    shop.v.customers.update(paid.customer, {"name": "Ada B"})
    _save_cards(shop, paid.customer)
    _charge_installments(shop, paid.customer)
    _give_back(shop)


def _save_cards(shop: Shop, customer: str) -> None:
    saving, ended = (shop.setup_session(customer, key) for key in ("su:2", "su:3"))
    shop.pay(saving.id, "4000000000000002")
    shop.pay(saving.id, "4000002760003184")
    shop.click(f"/pay/{saving.id}/authenticate", result="fail")
    shop.pay(saving.id, "4000000000000341")
    shop.v.checkout.sessions.expire(ended.id)
    method = shop.v.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    shop.server.control("POST", f"/_cards/{method}/update", {"exp_year": 2034})
    shop.v.payment_methods.detach(method)


def _charge_installments(shop: Shop, customer: str) -> None:
    visa, secure = (
        shop.saved_card(customer, card, f"su:{card}") for card in ("4242424242424242", "4000002760003184")
    )
    paid, void, given_up, open_ = (shop.invoice(customer, f"i{n}") for n in range(4))
    network = {"code": "card_declined", "network_advice_code": "24", "network_decline_code": "51"}
    shop.server.control("POST", f"/_cards/{visa}", {"next": ["expired_card", network]})
    for method, off_session in ((visa, True), (visa, True), (secure, True), (secure, False)):
        shop.decline(paid.id, method, off_session=off_session)
    shop.charge(paid.id, visa)
    shop.v.invoices.void_invoice(void.id)
    shop.v.invoices.mark_uncollectible(given_up.id)
    shop.v.invoices.update(open_.id, {"metadata": {"x": "1"}})
    shop.v.invoices.finalize_invoice(shop.v.invoices.create({"customer": customer}).id)


def _give_back(shop: Shop) -> None:
    for number, card in enumerate(("4000000000005126", "4000000000000259")):
        shop.pay(shop.session(f"co:back{number}").id, card)
    disputed, refunded = shop.v.charges.list({"limit": 2}).data
    shop.v.refunds.create({"charge": refunded.id})
    shop.server.control("POST", "/_clock", {"advance": 86400})
    shop.server.control("POST", "/_warnings", {"charge": refunded.id})
    dispute = shop.v.disputes.list({"charge": disputed.id}).data[0]
    shop.server.control("POST", f"/_disputes/{dispute.id}", {"status": "lost"})
