"""The event webhook: events shaped and signed like SendGrid's, posted until they are accepted."""

import asyncio
import base64
import heapq
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.standins.sendgrid.behaviour import Switches, by_address
from demo.standins.sendgrid.books import Books, Event, Received

MAX_PAUSE_S = 5.0


def new_keypair() -> tuple[str, str]:
    """The private key as PEM, and the public key in base64 DER, as SendGrid shows it and anymail wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode(), public_key_base64(key)


def load_private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the event webhook signs with an elliptic curve key")
    return key


def public_key_base64(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def signed_headers(key: ec.EllipticCurvePrivateKey, body: bytes, timestamp: str) -> dict[str, str]:
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }


def event_id() -> str:
    return secrets.token_urlsafe(16)


def built(received: Received, payload: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each recipient's events with their position in the sequence."""
    common: dict[str, Any] = {
        "sg_message_id": f"{received.message_id}.filter0001.{received.id}.{received.id:08X}-1.0",
        "smtp-id": _smtp_id(received, payload),
    }
    if "categories" in payload:
        common["category"] = payload["categories"]
    if "asm" in payload:
        common["asm_group_id"] = payload["asm"]["group_id"]
    for personalization in payload["personalizations"]:
        # As at SendGrid, an event's own fields win over custom arguments of the same name.
        arguments = {**payload.get("custom_args", {}), **personalization.get("custom_args", {})}
        for person in (p for kind in ("to", "cc", "bcc") for p in personalization.get(kind, ())):
            for place, step in enumerate(by_address(person["email"]).events):
                event = {**arguments, "email": person["email"], **common, **step, "sg_event_id": event_id()}
                # SendGrid's documentation: a bounce after delivery comes without the message's id.
                if step["event"] == "bounce" and place > 1:
                    del event["sg_message_id"], event["smtp-id"]
                if event.pop("without_ids", False):
                    event = {"email": person["email"], **step, "sg_event_id": event["sg_event_id"]}
                    del event["without_ids"]
                yield place, event


def _smtp_id(received: Received, payload: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in payload.get("headers", {}).items()}
    return str(headers.get("message-id", f"<{received.message_id}@geopod-ismtpd-1>"))


class Postman:
    """Posts due events in batches. A refused batch waits alone, so later ones overtake it."""

    def __init__(self, books: Books, switches: Switches, key: ec.EllipticCurvePrivateKey) -> None:
        self.books = books
        self.switches = switches
        self.key = key
        self._waiting: list[tuple[float, int, Event]] = []
        self._wake = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        self._two_at_once = asyncio.Semaphore(2)

    def plan(self, received: Received, payload: dict[str, Any], rng: Random) -> None:
        """Enter the events of an accepted mail in the books, with the faults that are switched on."""
        if not (self.switches.events and self.switches.event_url):
            return
        now, delay = time.time(), self.switches.event_delay_ms / 1000
        for place, event in built(received, payload):
            due_at = now + delay * (place + 1)
            if self.switches.event_shuffle:
                due_at = now + rng.random() * max(delay, 0.02) * 4
            event["timestamp"] = int(now + delay * (place + 1))
            self._enter(received.id, due_at, event, lost=rng.random() < self.switches.event_loss)
            if rng.random() < self.switches.event_duplicates:
                copy = event if rng.random() < 0.5 else {**event, "sg_event_id": event_id()}
                self._enter(received.id, due_at + delay, copy, lost=False)

    def account_event(self, kind: str) -> None:
        if self.switches.event_url:
            now = time.time()
            event = {"event": "account_status_change", "type": kind, "timestamp": int(now)}
            self._enter(None, now, {**event, "sg_event_id": event_id()}, lost=False)

    def _enter(self, request: int | None, due_at: float, payload: dict[str, Any], *, lost: bool) -> None:
        event = self.books.add_event(request, due_at, payload, lost=lost)
        if not lost:
            self._queue(event)

    def _queue(self, event: Event) -> None:
        heapq.heappush(self._waiting, (event.due_at, event.id, event))
        self._wake.set()

    def forget(self) -> None:
        self._waiting.clear()
        for post in self._posts:
            post.cancel()

    async def run(self) -> None:
        for event in self.books.pending():
            self._queue(event)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            try:
                while True:
                    await self._until_due()
                    await asyncio.sleep(self.switches.event_batch_ms / 1000)
                    while batch := self._due():
                        post = asyncio.create_task(self._deliver(session, batch))
                        self._posts.add(post)
                        post.add_done_callback(self._posts.discard)
            finally:
                posts = list(self._posts)
                self.forget()
                await asyncio.gather(*posts, return_exceptions=True)

    async def _until_due(self) -> None:
        while not self._waiting or self._waiting[0][0] > time.time():
            self._wake.clear()
            pause = self._waiting[0][0] - time.time() if self._waiting else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    def _due(self) -> list[Event]:
        batch: list[Event] = []
        now = time.time()
        while self._waiting and self._waiting[0][0] <= now and len(batch) < self.switches.event_batch:
            batch.append(heapq.heappop(self._waiting)[2])
        return batch

    async def _deliver(self, session: aiohttp.ClientSession, batch: list[Event]) -> None:
        body = json.dumps([event.payload for event in batch]).encode()
        headers = signed_headers(self.key, body, str(int(time.time())))
        pause = self.switches.event_retry_ms / 1000
        while True:
            async with self._two_at_once:
                status = await self._post(session, body, headers)
            self.books.posted(batch, status)
            if 200 <= status < 300:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)

    async def _post(self, session: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> int:
        url = self.switches.event_url
        if not url:
            return 0
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0
