"""Sign events and deliver them to the registered endpoints until they are accepted."""

import asyncio
import json
import random
import time
from collections.abc import Coroutine, Iterator

import aiohttp
from aiohttp import web
from stripe import WebhookSignature

from demo.standins.stripe.objects.faults import Fault
from demo.standins.stripe.objects.state import State
from demo.standins.stripe.objects.store import Obj, new_id
from demo.standins.stripe.webhooks.events import new_event, pending_webhooks, wants

PARALLEL = 8
TIMEOUT_SECONDS = 20
ATTEMPTS_KEPT = 20
BEFORE_ANSWER_SECONDS = 15
FAST_PAUSES = (0.2, 5.0)  # first and longest, in seconds
REAL_PAUSES = (60.0, 12 * 3600.0)


def pauses(first: float, longest: float) -> Iterator[float]:
    while True:
        yield first
        first = min(first * 2, longest)


def sign(payload: str, secret: str) -> str:
    """Sign with the real time even if the stand-in's clock is moved: receivers compare it with theirs."""
    header: str = WebhookSignature.generate_signature_header(payload, secret, int(time.time()))
    return header


class Deliveries:
    """Rows in the table `delivery`: event id -> endpoint id -> state and attempts.

    A delivery is pending, delivered, held (until released), stale (until a newer event of the same object is
    delivered), dropped or cancelled (the endpoint is gone).
    """

    def __init__(self, state: State, *, real_spacing: bool) -> None:
        self.state = state
        self._before_answer: list[asyncio.Task[None]] = []
        self._pauses = REAL_PAUSES if real_spacing else FAST_PAUSES
        self._stale: list[tuple[Obj, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots: asyncio.Semaphore
        self._session: aiohttp.ClientSession

    def start(self) -> None:
        """Resume, in the serving event loop, what an earlier run left."""
        self._slots = asyncio.Semaphore(PARALLEL)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS))
        self._stale = self._in_state("stale")
        for event, endpoint_id in self._in_state("pending"):
            self._start(event, endpoint_id)

    def schedule(self, event: Obj) -> None:
        endpoints = self._subscribed(event["type"])
        fault = self.state.faults.for_event(event["type"]) if endpoints else None
        kind = fault.kind if fault else ""
        if kind == "foreign":
            self._send_foreign(event)
        status = {"hold": "held", "stale": "stale", "drop": "dropped"}.get(kind, "pending")
        row = {endpoint_id: {"state": status, "attempts": []} for endpoint_id in endpoints}
        self.state.store.put("delivery", event["id"], row)
        if status == "stale":
            self._stale += [(event, endpoint_id) for endpoint_id in endpoints]
        if status == "pending":
            for endpoint_id in endpoints:
                self._start_with(fault, event, endpoint_id)

    def inject(self, event: Obj) -> int:
        """Deliver an event that the events API does not list."""
        self.state.store.put("injected_event", event["id"], event)
        return self.resend(event)

    def resend(self, event: Obj) -> int:
        """Send it to every endpoint that wants it now, whatever happened before."""
        row = self.state.store.get("delivery", event["id"]) or {}
        endpoints = self._subscribed(event["type"])
        for endpoint_id in endpoints:
            row.setdefault(endpoint_id, {"state": "pending", "attempts": []})
            self._start(event, endpoint_id)
        self.state.store.put("delivery", event["id"], row)
        return len(endpoints)

    def release(self, *, seed: int | None = None) -> int:
        """Deliver what is held or stale, one after another, in order or shuffled."""
        held = self._in_state("held", "stale")
        self._stale.clear()
        if seed is not None:
            random.Random(seed).shuffle(held)  # noqa: S311 - repeatable on purpose
        for event, endpoint_id in held:
            self._mark(event["id"], endpoint_id, "pending")
        self._spawn(self._one_by_one(held))
        return len(held)

    def forget(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._stale.clear()
        self._before_answer.clear()

    async def close(self) -> None:
        self.forget()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def finish_before_answer(self) -> None:
        """Wait for the deliveries that a fault requires to arrive before the call's answer."""
        waiting, self._before_answer = self._before_answer, []
        if waiting:
            await asyncio.wait(waiting, timeout=BEFORE_ANSWER_SECONDS)

    def _subscribed(self, event_type: str) -> list[str]:
        endpoints = self.state.store.tables["webhook_endpoint"].values()
        return [
            endpoint["id"]
            for endpoint in endpoints
            if endpoint["status"] == "enabled" and wants(endpoint["enabled_events"], event_type)
        ]

    def _start_with(self, fault: Fault | None, event: Obj, endpoint_id: str) -> None:
        kind = fault.kind if fault else ""
        copies, pause = 1, 0.0
        if fault and kind == "duplicate":
            copies = fault.copies
        elif fault and kind == "delay":
            pause = fault.pause
        elif fault and kind == "shuffle":
            pause = fault.dice.uniform(0, fault.pause)
        tasks = [self._start(event, endpoint_id, pause) for _ in range(copies)]
        if kind == "before_answer":
            self._before_answer += tasks

    def _start(self, event: Obj, endpoint_id: str, pause: float = 0.0) -> "asyncio.Task[None]":
        return self._spawn(self._deliver(event, endpoint_id, pause))

    def _spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _one_by_one(self, deliveries: list[tuple[Obj, str]]) -> None:
        for event, endpoint_id in deliveries:
            await self._deliver(event, endpoint_id)

    async def _deliver(self, event: Obj, endpoint_id: str, pause: float = 0.0) -> None:
        await asyncio.sleep(pause)
        for next_pause in pauses(*self._pauses):
            async with self._slots:
                endpoint = self.state.store.get("webhook_endpoint", endpoint_id)
                if endpoint is None or endpoint["status"] != "enabled":
                    self._mark(event["id"], endpoint_id, "cancelled")
                    break
                taken = await self._attempt(event, endpoint)
            if taken:
                self._delivered(event, endpoint_id)
                break
            await asyncio.sleep(next_pause)

    async def _attempt(self, event: Obj, endpoint: Obj) -> bool:
        payload = json.dumps(
            {**event, "pending_webhooks": pending_webhooks(self.state, event["id"])}, indent=2
        )
        secret = self.state.store.tables["webhook_secret"][endpoint["id"]]["secret"]
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(payload, secret),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        status, error = None, None
        try:
            async with self._session.post(
                endpoint["url"], data=payload.encode(), headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        self._note(event["id"], endpoint["id"], {"at": int(time.time()), "status": status, "error": error})
        return status is not None and 200 <= status < 300

    def _note(self, event_id: str, endpoint_id: str, attempt: Obj) -> None:
        row = self.state.store.get("delivery", event_id)
        if row is not None:
            row[endpoint_id]["attempts"] = [*row[endpoint_id]["attempts"], attempt][-ATTEMPTS_KEPT:]

    def _delivered(self, event: Obj, endpoint_id: str) -> None:
        self._mark(event["id"], endpoint_id, "delivered")
        ready = [(old, to) for old, to in self._stale if to == endpoint_id and _same_object(old, event)]
        for older, _ in ready:
            self._stale.remove((older, endpoint_id))
            self._mark(older["id"], endpoint_id, "pending")
            self._start(older, endpoint_id)

    def _mark(self, event_id: str, endpoint_id: str, status: str) -> None:
        row = self.state.store.get("delivery", event_id)
        if row is not None:
            row[endpoint_id]["state"] = status
            self.state.store.put("delivery", event_id, row)
            self.state.store.commit()

    def _in_state(self, *statuses: str) -> list[tuple[Obj, str]]:
        store = self.state.store
        return [
            (store.get("event", event_id) or store.tables["injected_event"][event_id], endpoint_id)
            for event_id, row in store.tables["delivery"].items()
            for endpoint_id, delivery in row.items()
            if delivery["state"] in statuses
        ]

    def _send_foreign(self, event: Obj) -> None:
        for data, livemode in _foreign_data(event):
            foreign = new_event(self.state, event["type"], data) | {"livemode": livemode}
            self.inject(foreign)


DELIVERIES = web.AppKey("deliveries", Deliveries)


def _same_object(one: Obj, other: Obj) -> bool:
    return bool(one["data"]["object"].get("id") == other["data"]["object"].get("id"))


def _foreign_data(event: Obj) -> Iterator[tuple[Obj, bool]]:
    """Events that may arrive although they are not ours: an unknown object, live mode, an old API version."""
    obj = event["data"]["object"]
    prefix = str(obj.get("id", "obj_")).rsplit("_", 1)[0]
    yield {"object": {**obj, "id": new_id(prefix)}}, False
    yield {"object": {**obj, "livemode": True}}, True
    yield (
        {"object": {**obj, "id": new_id(prefix), "charges": {"object": "list", "data": []}, "invoice": None}},
        False,
    )
