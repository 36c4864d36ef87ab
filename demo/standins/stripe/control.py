"""What Stripe's API does not offer, under `/_...`: the clock, faults, books and events, what banks do,
and what the owner does in Stripe's dashboard."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from demo.standins.stripe.customers import declines, payment_methods
from demo.standins.stripe.customers.cards import find_card
from demo.standins.stripe.objects import books
from demo.standins.stripe.objects.errors import StripeError
from demo.standins.stripe.objects.faults import REQUEST_KINDS, Fault
from demo.standins.stripe.objects.resources import require
from demo.standins.stripe.objects.state import STATE, Call
from demo.standins.stripe.objects.store import Obj
from demo.standins.stripe.payments import disputes, due, fraud_warnings, refunds
from demo.standins.stripe.webhooks.deliveries import DELIVERIES
from demo.standins.stripe.webhooks.events import new_event

Control: TypeAlias = Callable[[web.Request, Any], Awaitable[Any] | Any]
LATEST = 2**33  # in seconds since 1970: the year 2242
KEPT_ENDPOINTS = ("webhook_endpoint", "webhook_secret")


def add_routes(app: web.Application) -> None:
    for method, path, control in ROUTES:
        app.router.add_route(method, path, _handler(control))


def _handler(control: Control) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = control(request, await _given(request))
        except (ValueError, TypeError, KeyError, AttributeError, StripeError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        request.app[STATE].store.commit()
        if "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther("/")  # a button of the index page
        return web.json_response(answer)

    return handle


async def _given(request: web.Request) -> Any:
    text = (await request.text()).strip()
    if text.startswith(("{", "[")):
        return json.loads(text)
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    return {name: int(value) if value else None for name, value in pairs}


def set_clock(request: web.Request, given: Any) -> Obj:
    """`{"now": epoch}`, `{"now": null}` for real time, or `{"advance": seconds}`."""
    state = request.app[STATE]
    now = state.store.now() + int(given["advance"]) if "advance" in given else given["now"]
    if now is not None and not (type(now) is int and 0 <= now <= LATEST):
        raise ValueError("now is a number of seconds, or null")
    state.store.set_now(now)
    due.process(state)
    return clock(request, given)


def clock(request: web.Request, given: Any) -> Obj:
    return {"now": request.app[STATE].store.now(), "real": int(time.time())}


def add_faults(request: web.Request, given: Any) -> list[Obj]:
    """Add a list of faults. One with a `type`, or of a webhook kind, applies to webhooks."""
    faults = [_fault(item) for item in (given if isinstance(given, list) else [given])]
    request.app[STATE].faults.active += faults
    return list_faults(request, given)


def _fault(item: Obj) -> Fault:
    webhook = "type" in item or ("path" not in item and item["kind"] not in REQUEST_KINDS)
    return Fault(**{"target": "webhook" if webhook else "api", **item})


def list_faults(request: web.Request, given: Any) -> list[Obj]:
    return [fault.as_json() for fault in request.app[STATE].faults.active]


def clear_faults(request: web.Request, given: Any) -> list[Obj]:
    request.app[STATE].faults.active.clear()
    return []


def release(request: web.Request, given: Any) -> Obj:
    """Send the held events; `{"seed": n}` shuffles them first."""
    return {"released": request.app[DELIVERIES].release(seed=given.get("seed"))}


def resend(request: web.Request, given: Any) -> Obj:
    store, event_id = request.app[STATE].store, request.match_info["id"]
    event = store.get("event", event_id) or store.get("injected_event", event_id)
    if event is None:
        raise web.HTTPNotFound(text="No such event.\n")
    return {"deliveries": request.app[DELIVERIES].resend(event)}


def inject(request: web.Request, given: Any) -> Obj:
    """`{"type", "object"}`, and optionally any other field of an event (id, livemode, account, ...)."""
    fields = dict(given)
    if not (
        isinstance(fields["object"], dict)
        and all(isinstance(fields[n], str) for n in {"id", "type"} & fields.keys())
    ):
        raise ValueError("an event has an object, and strings as id and type")
    event = new_event(request.app[STATE], fields["type"], {"object": fields.pop("object")}) | fields
    return {"id": event["id"], "deliveries": request.app[DELIVERIES].inject(event)}


def script_card(request: web.Request, given: Any) -> Obj:
    """`{"next": [...]}`: the outcomes of the next charges, each "ok", a code, or an object with `code`,
    `decline_code`, `advice_code`, `network_advice_code`, `network_decline_code`, `message`."""
    state = request.app[STATE]
    method = require(state, "payment_method", request.match_info["id"])
    if not isinstance(given["next"], list):
        raise ValueError("next is a list")
    declines.script(state, method, given["next"])
    return {"id": method["id"], "next": given["next"]}


def update_card(request: web.Request, given: Any) -> Obj:
    """The bank replaces a saved card: any of `exp_month`, `exp_year`, and `card`, a test card's number."""
    changes = {name: int(value) for name, value in given.items() if name != "card"}
    card = find_card(given["card"]) if "card" in given else None
    if changes.keys() - {"exp_month", "exp_year"} or ("card" in given and card is None):
        raise ValueError("a card has exp_month, exp_year, and one of the test cards' numbers")
    return payment_methods.automatically_update(request.app[STATE], request.match_info["id"], card, changes)


def add_refund(request: web.Request, given: Any) -> Obj:
    """As in the dashboard: `payment_intent` or `charge`, optionally `amount`, `reason`, `metadata`."""
    return refunds.create(request.app[STATE], Call(request.path, dict(given)))


def turn_refund(request: web.Request, given: Any) -> Obj:
    """`{"status": "pending" | "succeeded" | "failed" | "canceled"}`."""
    return refunds.turn(request.app[STATE], Call(request.path), request.match_info["id"], given["status"])


def add_dispute(request: web.Request, given: Any) -> Obj:
    """`{"charge": "ch_...", "reason": "fraudulent", "status": "needs_response"}`, optionally an `amount`."""
    state = request.app[STATE]
    charge = require(state, "charge", given["charge"], param="charge")
    wanted = {name: given[name] for name in ("reason", "status", "amount") if name in given}
    return disputes.open_dispute(state, Call(request.path), charge, **wanted)


def decide_dispute(request: web.Request, given: Any) -> Obj:
    """`{"status": "won" | "lost" | "warning_closed"...}`, optionally `withdrawn`, `reinstated` in cents."""
    return disputes.decide(request.app[STATE], Call(request.path), request.match_info["id"], **given)


def add_warning(request: web.Request, given: Any) -> Obj:
    """The bank suspects a charge: `{"charge": "ch_..."}`, optionally a `fraud_type`."""
    state = request.app[STATE]
    charge = require(state, "charge", given["charge"], param="charge")
    wanted = {name: given[name] for name in ("fraud_type",) if name in given}
    return fraud_warnings.warn(state, Call(request.path), charge, **wanted)


def show_books(request: web.Request, given: Any) -> Obj:
    return books.summary(request.app[STATE].store)


def reset(request: web.Request, given: Any) -> Obj:
    """Forget everything; `{"keep_endpoints": true}` keeps the webhook endpoints."""
    state = request.app[STATE]
    request.app[DELIVERIES].forget()
    state.faults.active.clear()
    state.store.clear(keep=KEPT_ENDPOINTS if given.get("keep_endpoints") else ())
    return {}


ROUTES: list[tuple[str, str, Control]] = [
    ("GET", "/_clock", clock),
    ("POST", "/_clock", set_clock),
    ("GET", "/_faults", list_faults),
    ("POST", "/_faults", add_faults),
    ("DELETE", "/_faults", clear_faults),
    ("POST", "/_webhooks/release", release),
    ("POST", "/_events", inject),
    ("POST", "/_events/{id}/resend", resend),
    ("POST", "/_cards/{id}", script_card),
    ("POST", "/_cards/{id}/update", update_card),
    ("POST", "/_refunds", add_refund),
    ("POST", "/_refunds/{id}", turn_refund),
    ("POST", "/_disputes", add_dispute),
    ("POST", "/_disputes/{id}", decide_dispute),
    ("POST", "/_warnings", add_warning),
    ("GET", "/_books", show_books),
    ("POST", "/_reset", reset),
]
