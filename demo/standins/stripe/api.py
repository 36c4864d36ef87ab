"""The steps of an API request: key, hook, faults, idempotency, parameter check, handler, answer."""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import BasicAuth, web

from demo.standins.stripe.customers import customers, payment_methods, setups
from demo.standins.stripe.invoices import invoice_items, invoice_payments, invoices
from demo.standins.stripe.objects import books, errors
from demo.standins.stripe.objects.errors import StripeError
from demo.standins.stripe.objects.faults import Fault
from demo.standins.stripe.objects.resources import expand
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, new_id
from demo.standins.stripe.payments import (
    accounts,
    balance,
    checkout,
    disputes,
    fraud_warnings,
    payments,
    refunds,
)
from demo.standins.stripe.requests import forms, idempotency
from demo.standins.stripe.requests.validation import check
from demo.standins.stripe.webhooks import events
from demo.standins.stripe.webhooks.deliveries import Deliveries

ROUTES = [
    *accounts.ROUTES,
    *customers.ROUTES,
    *payment_methods.ROUTES,
    *checkout.ROUTES,
    *setups.ROUTES,
    *payments.ROUTES,
    *invoices.ROUTES,
    *invoice_items.ROUTES,
    *invoice_payments.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *fraud_warnings.ROUTES,
    *balance.ROUTES,
    *events.ROUTES,
]
TEST_KEY = re.compile(r"sk_test_\w+", re.ASCII)
LONGEST_KEY = 255

BeforeRequest: TypeAlias = Callable[[str, str, Obj], None]


@dataclass
class Answer:
    status: int
    body: str
    request_id: str
    replayed: bool = False
    stored: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Incoming:
    method: str
    path: str
    params: Obj
    raw: bytes
    key: str | None
    request_id: str
    ids: tuple[str, ...] = ()


class Api:
    def __init__(self, state: State, deliveries: Deliveries, before_request: BeforeRequest | None) -> None:
        self.state = state
        self.deliveries = deliveries
        self.before_request = before_request
        self._stopping = asyncio.Event()
        self._in_flight = idempotency.InFlight()

    def add_routes(self, app: web.Application) -> None:
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._handler(route))
        app.router.add_route("*", "/v1/{rest:.*}", self._handler(None))

    async def stop(self, app: web.Application) -> None:
        self._stopping.set()

    def _handler(self, route: Route | None) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            request_id = new_id("req", 14)
            try:
                incoming = await _read(request, request_id, route)
                answer, fault = await self._answer(route, incoming)
            except StripeError as error:
                return _response(_from_error(error, request_id))
            if _is_cut(fault) or answer is None:
                return _cut(request)
            if fault is not None and fault.kind == "hang":
                await self._sleep(fault.pause)
            return _response(answer, key=incoming.key)

        return handle

    async def _answer(self, route: Route | None, incoming: Incoming) -> tuple[Answer | None, Fault | None]:
        """The answer (None to drop the connection before any effect) and the fault that struck."""
        fault = self.state.faults.for_request(incoming.method, incoming.path)
        answer: Answer | None = None
        try:
            with self._in_flight.hold(incoming.key):
                await self._run_hook(incoming)
                if fault is not None and fault.kind == "delay":
                    await self._sleep(fault.pause)
                if fault is None or fault.kind != "drop_before":
                    answer = self._perform(route, incoming, fault)
        except StripeError as error:
            answer = _from_error(error, incoming.request_id)
        self._record(incoming, answer, fault)
        await self.deliveries.finish_before_answer()
        return answer, fault

    def _perform(self, route: Route | None, incoming: Incoming, fault: Fault | None) -> Answer:
        """All effects happen here, without a pause: no other request sees half of them."""
        answer = self._execute(route, incoming, fault)
        shown = answer
        if fault is not None and fault.kind == "error_after":
            stored = fault.stored is not False
            shown = _from_error(errors.server_error(stored=stored), incoming.request_id)
            answer = shown if stored else answer
        if incoming.key is not None and answer.stored and not answer.replayed:
            self._store(incoming, incoming.key, answer)
        return shown

    def _execute(self, route: Route | None, incoming: Incoming, fault: Fault | None) -> Answer:
        try:
            if (early := _early_error(fault)) is not None:
                raise early
            if incoming.key is not None and (first := self._stored(incoming, incoming.key)) is not None:
                return first
            if route is None:
                raise errors.unknown_route(incoming.method, incoming.path)
            return self._run(route, incoming)
        except StripeError as error:
            return _from_error(error, incoming.request_id)

    def _run(self, route: Route, incoming: Incoming) -> Answer:
        params = check(incoming.params, route.params_type)
        call = Call(incoming.path, params, incoming.request_id, incoming.key)
        body = route.handler(self.state, call, *incoming.ids)
        if "expand" in params:
            body = expand(self.state, body, params["expand"])
        return Answer(200, json.dumps(body), incoming.request_id)

    def _stored(self, incoming: Incoming, key: str) -> Answer | None:
        print_ = idempotency.fingerprint(incoming.method, incoming.path, incoming.params)
        row = idempotency.stored_answer(self.state.store, key, print_)
        if row is None:
            return None
        headers = {"Idempotent-Replayed": "true", "Original-Request": row["request_id"]}
        return Answer(row["status"], row["body"], incoming.request_id, replayed=True, headers=headers)

    def _store(self, incoming: Incoming, key: str, answer: Answer) -> None:
        idempotency.store_answer(
            self.state.store,
            key,
            idempotency.fingerprint(incoming.method, incoming.path, incoming.params),
            status=answer.status,
            body=answer.body,
            request_id=incoming.request_id,
        )

    def _record(self, incoming: Incoming, answer: Answer | None, fault: Fault | None) -> None:
        if incoming.method == "POST":
            books.record_post(
                self.state.store,
                path=incoming.path,
                key=incoming.key,
                body=incoming.raw,
                status=None if _is_cut(fault) or answer is None else answer.status,
                replayed=answer is not None and answer.replayed,
                fault=fault.kind if fault is not None else None,
            )
        self.state.store.commit()

    async def _run_hook(self, incoming: Incoming) -> None:
        if self.before_request is not None:
            seen = {"params": incoming.params, "idempotency_key": incoming.key}
            try:
                await asyncio.to_thread(self.before_request, incoming.method, incoming.path, seen)
            except Exception as error:
                self.state.hook_errors.append(error)
                raise errors.server_error(stored=False) from error

    async def _sleep(self, seconds: float) -> None:
        """Cut short when the server stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def _read(request: web.Request, request_id: str, route: Route | None) -> Incoming:
    raw = await request.read()
    _check_api_key(request)
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise errors.invalid_request(f"An idempotency key has 1 to {LONGEST_KEY} characters.")
    try:
        text = raw.decode() if request.method == "POST" else request.rel_url.raw_query_string
    except UnicodeDecodeError as error:
        raise errors.invalid_request("The body is not UTF-8.") from error
    ids = tuple(request.match_info.values()) if route is not None else ()
    return Incoming(request.method, request.path, forms.decode(text), raw, key, request_id, ids)


def _check_api_key(request: web.Request) -> None:
    header = request.headers.get("Authorization", "")
    try:
        key = (
            BasicAuth.decode(header).login if header.startswith("Basic ") else header.removeprefix("Bearer ")
        )
    except ValueError:
        key = ""
    if not TEST_KEY.fullmatch(key):
        raise errors.invalid_api_key(key)


def _early_error(fault: Fault | None) -> StripeError | None:
    match fault.kind if fault is not None else "":
        case "error_before":
            return errors.server_error(stored=bool(fault and fault.stored))
        case "rate_limit":
            return errors.rate_limited()
        case "conflict":
            return errors.lock_timeout()
        case "revoked_key":
            return errors.invalid_api_key("sk_test_")
    return None


def _from_error(error: StripeError, request_id: str) -> Answer:
    headers = {} if error.retry is None else {"Stripe-Should-Retry": str(error.retry).lower()}
    return Answer(error.status, json.dumps(error.body), request_id, stored=error.stored, headers=headers)


def _response(answer: Answer, *, key: str | None = None) -> web.Response:
    headers = {"Request-Id": answer.request_id, "Stripe-Version": events.API_VERSION, **answer.headers}
    if key is not None:
        headers["Idempotency-Key"] = key
    return web.Response(
        status=answer.status, text=answer.body, content_type="application/json", headers=headers
    )


def _is_cut(fault: Fault | None) -> bool:
    return fault is not None and fault.kind in ("drop_before", "drop_after")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
