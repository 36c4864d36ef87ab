"""The other side, in this process: Stripe's and SendGrid's stand-ins, and their webhooks, posted in order."""

import heapq
import itertools
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.test import Client
from django.urls import reverse

from billing.stripe.webhook_endpoint import register_endpoint
from demo.season.faults import AT_SENDGRID, AT_STRIPE, Faults
from demo.standins.sendgrid.books import Received
from demo.standins.sendgrid.events import built, load_private_key, signed_headers
from demo.standins.sendgrid.message import opened
from demo.standins.sendgrid.serve import MailServer
from demo.standins.stripe.serve import StripeServer
from demo.standins.stripe.webhooks.deliveries import sign

Json = dict[str, Any]


class Stripe:
    """Its events wait here until they are posted: nothing arrives while something else is at work, so the
    same season takes the same course each time."""

    def __init__(self, server: StripeServer, faults: Faults) -> None:
        self.server, self.faults = server, faults
        self._events: SimpleQueue[Json] = SimpleQueue()
        self._late: list[tuple[datetime, int, Json]] = []
        self._numbers = itertools.count()
        server.state.event_listeners.append(self._events.put)
        self._client = Client(SERVER_NAME="127.0.0.1")
        self._path = reverse("djstripe:djstripe_webhook_by_uuid", args=[settings.STRIPE_WEBHOOK_UUID])

    def pay(self, page: str, card: str) -> str:
        """Type a card into a payment page; where that leads, "" if the bank declines."""
        answer = requests.post(page, data={"card": card}, allow_redirects=False, timeout=30)
        if answer.status_code == requests.codes.payment_required:
            return ""
        if answer.status_code != requests.codes.see_other:
            raise LookupError(f"the payment page answers {answer.status_code}")
        return answer.headers["Location"]

    def dispute(self, charge: str) -> str:
        return str(self.server.control("POST", "/_disputes", {"charge": charge})["id"])

    def decide(self, dispute: str, status: str) -> None:
        self.server.control("POST", f"/_disputes/{dispute}", {"status": status})

    def let_time_pass(self) -> None:
        self.server.control("POST", "/_clock", {"now": None})

    def next_at(self) -> datetime | None:
        """When a webhook comes that is late."""
        return self._late[0][0] if self._late else None

    def deliver(self, now: datetime) -> int:
        """Post what happened and what is late by now, oldest first; returns how many webhooks came."""
        while not self._events.empty():
            event = self._events.get()
            for pause in self.faults.deliveries():
                heapq.heappush(self._late, (now + pause, next(self._numbers), event))
        number = 0
        while self._late and self._late[0][0] <= now:
            self._post(heapq.heappop(self._late)[2])
            number += 1
        return number

    def _post(self, event: Json) -> None:
        payload = json.dumps({**event, "pending_webhooks": 1}, indent=2)
        header = sign(payload, settings.STRIPE_WEBHOOK_SECRET)
        answer = self._client.post(
            self._path, payload, content_type="application/json", headers={"Stripe-Signature": header}
        )
        if answer.status_code != 200:
            raise LookupError(f"the webhook of {event['type']} answers {answer.status_code}")


class Mail:
    """SendGrid's side: what it accepted, by address, and its events."""

    def __init__(self, server: MailServer, private_key: str) -> None:
        self.server = server
        self._key = load_private_key(private_key)
        self._client = Client(SERVER_NAME="127.0.0.1")
        self._path = reverse("sendgrid_events")
        self._seen = 0
        self.by_address: dict[str, list[Received]] = {}

    def deliver(self) -> int:
        """Take in what was accepted since the last time, and post the events of it."""
        fresh = self.server.received_since(self._seen)
        self._seen += len(fresh)
        events = [event for row in fresh if row.accepted for event in self._events_of(row)]
        if events:
            body = json.dumps(events).encode()
            headers = signed_headers(self._key, body, str(int(time.time())))
            answer = self._client.post(self._path, body, content_type="application/json", headers=headers)
            if answer.status_code != 200:
                raise LookupError(f"the webhook of SendGrid answers {answer.status_code}")
        return len(events)

    def _events_of(self, row: Received) -> Iterator[Json]:
        for address in row.to:
            self.by_address.setdefault(address.lower(), []).append(row)
        payload = json.loads(row.body)
        for place, event in built(row, payload):
            yield {**event, "timestamp": int(row.received_at) + place}

    def latest(self, address: str, kind: str) -> Json:
        rows = [row for row in self.by_address.get(address, []) if row.kind == kind]
        if not rows:
            raise LookupError(f"no {kind} has come to {address}")
        return opened(rows[-1])

    def kinds(self, address: str) -> Counter[str]:
        return Counter(row.kind for row in self.by_address.get(address, []))


@contextmanager
def open_world(private_key: str, faults: Faults) -> Iterator[tuple[Stripe, Mail]]:
    stripe_port = urlsplit(settings.STRIPE_API_HOST).port or 0
    mail_port = urlsplit(settings.ANYMAIL["SENDGRID_API_URL"]).port or 0
    with StripeServer(port=stripe_port) as stripe, MailServer(port=mail_port) as mail:
        register_endpoint(identity=uuid.UUID(settings.STRIPE_WEBHOOK_UUID), remote=False)
        if not faults.is_over:
            stripe.control("POST", "/_faults", AT_STRIPE)
            mail.control(seed=1, **AT_SENDGRID)
        yield Stripe(stripe, faults), Mail(mail, private_key)


def calm(stripe: Stripe, mail: Mail) -> None:
    """From now on nothing goes wrong."""
    stripe.faults.is_over = True
    stripe.server.control("DELETE", "/_faults")
    mail.server.control(**dict.fromkeys(AT_SENDGRID, 0.0))
