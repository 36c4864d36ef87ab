"""What the tests of the Stripe stand-in share: a client, a shop's calls, and an endpoint that hears
webhooks."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import stripe

from csf.sandbox.stripe.serve import StripeServer

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
            http_client=stripe.RequestsClient(timeout=5),
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

    def click(self, path: str, **form: str) -> requests.Response:
        return self.browser.post(self.server.url + path, data=form, allow_redirects=False, timeout=5)

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
            body, self.headers["Stripe-Signature"], self.server.secret, tolerance=5
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


def wait_until(done: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
