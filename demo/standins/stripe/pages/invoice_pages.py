"""The hosted page of an invoice: a saved card or another one, with 3-D Secure where the bank wants it."""

from aiohttp import web

from demo.standins.stripe.customers.cards import find_card, new_payment_method
from demo.standins.stripe.invoices import invoice_payments
from demo.standins.stripe.objects.state import STATE, Call, State
from demo.standins.stripe.objects.store import Obj
from demo.standins.stripe.pages import markup
from demo.standins.stripe.pages.page import page
from demo.standins.stripe.webhooks.deliveries import DELIVERIES

SAVED = "1"  # in the field `saved`: the card that the invoice would be charged to


def add_routes(app: web.Application) -> None:
    app.router.add_get("/invoice/{id}", show)
    app.router.add_post("/invoice/{id}", pay)
    app.router.add_get("/invoice/{id}/authenticate", show_authentication)
    app.router.add_post("/invoice/{id}/authenticate", authenticate)


async def show(request: web.Request) -> web.Response:
    return _invoice_page(request, _finalized(request))


async def pay(request: web.Request) -> web.Response:
    """`card`: a number; or `saved`: 1, or the id of a saved card.

    303 to this page once paid, or to the 3-D Secure page; declined: 402 and the form again.
    """
    form = await request.post()
    state, invoice = request.app[STATE], _payable(request)
    method = _method(state, invoice, str(form.get("card", "")), str(form.get("saved", "")))
    if method is None:
        return _invoice_page(request, invoice, "This is not one of the cards.", status=400)
    intent = invoice_payments.collect(state, Call(request.path), invoice, method)
    return await _after_attempt(request, invoice, intent)


async def show_authentication(request: web.Request) -> web.Response:
    invoice = _authenticating(request)
    return page(markup.authentication(markup.money(invoice["amount_due"], invoice["currency"])))


async def authenticate(request: web.Request) -> web.Response:
    """`result`: pass or fail."""
    form = await request.post()
    state, invoice = request.app[STATE], _authenticating(request)
    passed = form.get("result") == "pass"
    intent = invoice_payments.authenticate(state, Call(request.path), invoice, passed=passed)
    return await _after_attempt(request, invoice, intent)


async def _after_attempt(request: web.Request, invoice: Obj, intent: Obj) -> web.Response:
    request.app[STATE].store.commit()
    await request.app[DELIVERIES].finish_before_answer()
    if intent["status"] == "succeeded":
        raise web.HTTPSeeOther(f"/invoice/{invoice['id']}")
    if intent["status"] == "requires_action":
        raise web.HTTPSeeOther(f"/invoice/{invoice['id']}/authenticate")
    return _invoice_page(request, invoice, intent["last_payment_error"]["message"], status=402)


def _finalized(request: web.Request) -> Obj:
    invoice = request.app[STATE].store.get("invoice", request.match_info["id"])
    if invoice is None or invoice["hosted_invoice_url"] is None or not _has_customer(request, invoice):
        raise web.HTTPNotFound(text="There is no such invoice.\n")
    return invoice


def _has_customer(request: web.Request, invoice: Obj) -> bool:
    return request.app[STATE].store.get("customer", invoice["customer"]) is not None


def _payable(request: web.Request) -> Obj:
    invoice = _finalized(request)
    if invoice["status"] not in invoice_payments.PAYABLE:
        raise web.HTTPSeeOther(f"/invoice/{invoice['id']}")
    return invoice


def _authenticating(request: web.Request) -> Obj:
    invoice = _payable(request)
    if invoice_payments.intent_of(request.app[STATE], invoice)["status"] != "requires_action":
        raise web.HTTPSeeOther(f"/invoice/{invoice['id']}")
    return invoice


def _method(state: State, invoice: Obj, card_number: str, saved: str) -> Obj | None:
    if saved:
        methods = _saved(state, invoice)
        return next((method for method in methods if saved in (SAVED, method["id"])), None)
    card = find_card(card_number)
    if card is None:
        return None
    customer = {"email": invoice["customer_email"], "name": invoice["customer_name"], "phone": None}
    return new_payment_method(state, card, {"address": None, "tax_id": None, **customer})


def _saved(state: State, invoice: Obj) -> list[Obj]:
    """The customer's cards: the default one, then the newest."""
    default = invoice_payments.default_method(state, invoice)
    methods = state.store.newest_first(
        "payment_method", lambda method: bool(method["customer"] == invoice["customer"])
    )
    return sorted(methods, key=lambda method: bool(method["id"] != default))


def _invoice_page(request: web.Request, invoice: Obj, problem: str = "", status: int = 200) -> web.Response:
    return page(markup.invoice(invoice, _saved(request.app[STATE], invoice), problem), status)
