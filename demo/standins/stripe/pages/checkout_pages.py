"""The pages for people: Checkout, 3-D Secure and the index of everything the stand-in holds."""

from aiohttp import web

from demo.standins.stripe.customers.cards import find_card
from demo.standins.stripe.objects.errors import StripeError
from demo.standins.stripe.objects.state import STATE, Call
from demo.standins.stripe.objects.store import Obj
from demo.standins.stripe.pages import markup
from demo.standins.stripe.pages.page import page
from demo.standins.stripe.payments import checkout
from demo.standins.stripe.webhooks.deliveries import DELIVERIES


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", show_index)
    app.router.add_get("/pay/{id}", show_checkout)
    app.router.add_post("/pay/{id}", pay)
    app.router.add_get("/pay/{id}/authenticate", show_authentication)
    app.router.add_post("/pay/{id}/authenticate", authenticate)


async def show_index(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return page(markup.index(state.store, [fault.as_json() for fault in state.faults.active]))


async def show_checkout(request: web.Request) -> web.Response:
    session = _open_session(request)
    return _checkout_page(request, session)


async def pay(request: web.Request) -> web.Response:
    """`card`: a number. 303 to `success_url` or to the 3-D Secure page; declined: 402 and the form again."""
    form = await request.post()
    state, session = request.app[STATE], _open_session(request)
    card = find_card(str(form.get("card", "")))
    if card is None:
        return _checkout_page(request, session, "This is not one of the test cards.", status=400)
    intent = checkout.pay(state, Call(request.path), session, card)
    return await _after_attempt(request, session, intent)


async def show_authentication(request: web.Request) -> web.Response:
    session = _authenticating_session(request)
    cents = session["amount_total"]
    amount = None if cents is None else markup.money(cents, session["currency"])
    return page(markup.authentication(amount))


async def authenticate(request: web.Request) -> web.Response:
    """`result`: pass or fail."""
    form = await request.post()
    session = _authenticating_session(request)
    passed = form.get("result") == "pass"
    intent = checkout.authenticate(request.app[STATE], Call(request.path), session, passed=passed)
    return await _after_attempt(request, session, intent)


async def _after_attempt(request: web.Request, session: Obj, intent: Obj) -> web.Response:
    request.app[STATE].store.commit()
    await request.app[DELIVERIES].finish_before_answer()
    if intent["status"] == "succeeded":
        raise web.HTTPSeeOther(_success_url(session))
    if intent["status"] == "requires_action":
        raise web.HTTPSeeOther(f"/pay/{session['id']}/authenticate")
    error = intent.get("last_payment_error") or intent["last_setup_error"]
    return _checkout_page(request, session, error["message"], status=402)


def _open_session(request: web.Request) -> Obj:
    """The session, or its HTTP error: 404, 410 once expired, a redirect to the shop once paid."""
    state = request.app[STATE]
    try:
        session = checkout.retrieve(state, Call(), request.match_info["id"])
    except StripeError as error:
        raise web.HTTPNotFound(text="There is no such checkout session.\n") from error
    state.store.commit()
    if session["status"] == "complete":
        raise web.HTTPSeeOther(_success_url(session))
    if session["status"] == "expired":
        raise web.HTTPGone(text=markup.expired(session), content_type="text/html")
    return session


def _authenticating_session(request: web.Request) -> Obj:
    session = _open_session(request)
    if not checkout.awaits_authentication(request.app[STATE], session):
        raise web.HTTPSeeOther(f"/pay/{session['id']}")
    return session


def _success_url(session: Obj) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _checkout_page(request: web.Request, session: Obj, problem: str = "", status: int = 200) -> web.Response:
    items = checkout.line_items(request.app[STATE], session["id"])
    return page(markup.checkout(session, items, problem), status)
