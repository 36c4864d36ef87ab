"""Checkout Sessions that take a payment or save a card, from the API call to the last click on the page."""

from collections.abc import Callable
from typing import Any

from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionLineItemListParams,
    SessionListParams,
    SessionRetrieveParams,
)

from demo.standins.stripe.customers import setups
from demo.standins.stripe.customers.cards import Card, new_payment_method
from demo.standins.stripe.objects.errors import invalid_request, no_such, wrong_state
from demo.standins.stripe.objects.resources import (
    INCLUDABLE,
    build,
    filtered,
    list_answer,
    merge_metadata,
    refuse_unsupported,
    require,
    save,
)
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, new_id
from demo.standins.stripe.payments import payments
from demo.standins.stripe.requests.limits import PRODUCT, SESSION, amount_refused, check_lengths, check_urls
from demo.standins.stripe.requests.validation import missing
from demo.standins.stripe.webhooks.events import emit

MINUTE, HOUR = 60, 3600
SUPPORTED = (
    "cancel_url",
    "client_reference_id",
    "customer",
    "customer_email",
    "expand",
    "expires_at",
    "locale",
    "metadata",
    "mode",
    "payment_method_types",
    "success_url",
)
SUPPORTED_IN_MODE = {
    "payment": ("adaptive_pricing", "line_items", "payment_intent_data", "submit_type"),
    "setup": ("currency", "setup_intent_data"),
}
SUPPORTED_INTENT_DATA = {
    "payment_intent_data": (
        "description",
        "metadata",
        "receipt_email",
        "setup_future_usage",
        "statement_descriptor",
    ),
    "setup_intent_data": ("description", "metadata"),
}
ATTEMPT: dict[str, Callable[..., None]] = {"payment": payments.attempt, "setup": setups.attempt}
AUTHENTICATE: dict[str, Callable[..., None]] = {
    "payment": payments.authenticate,
    "setup": setups.authenticate,
}


def create(state: State, call: Call) -> Obj:
    params = call.params
    _check(state, params)
    check_lengths(params, SESSION)
    check_urls(params, "success_url", "cancel_url")
    session_id = new_id("cs_test", 58)
    for_mode = _payment_values if params["mode"] == "payment" else _setup_values
    session = build(
        state,
        "checkout.session",
        session_id,
        customer_details=_customer_details(state, params),
        expires_at=_expires_at(state, params),
        metadata=merge_metadata({}, params.get("metadata", {})),
        mode=params["mode"],
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        url=_page_url(state, session_id),
        **{name: params.get(name) for name in ("cancel_url", "client_reference_id", "customer")},
        **{name: params.get(name) for name in ("customer_email", "locale", "submit_type", "success_url")},
        **for_mode(state, call, session_id),
    )
    return save(state, session)


def retrieve(state: State, call: Call, session_id: str) -> Obj:
    session = require(state, "checkout.session", session_id)
    if _is_due(session, state.store.now()):
        _close_unpaid(state, Call(), session)
    return session


def list_all(state: State, call: Call) -> Obj:
    rows = filtered(state, call, "checkout.session", ["customer", "payment_intent", "status"])
    return list_answer(call, "/v1/checkout/sessions", rows)


def list_line_items(state: State, call: Call, session_id: str) -> Obj:
    require(state, "checkout.session", session_id)
    return list_answer(call, f"/v1/checkout/sessions/{session_id}/line_items", line_items(state, session_id))


def expire(state: State, call: Call, session_id: str) -> Obj:
    session = retrieve(state, call, session_id)
    if session["status"] != "open":
        raise wrong_state(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
    _close_unpaid(state, call, session)
    return session


def expire_due(state: State) -> None:
    now = state.store.now()
    for session in list(state.store.newest_first("checkout.session", lambda s: _is_due(s, now))):
        _close_unpaid(state, Call(), session)


def line_items(state: State, session_id: str) -> list[Obj]:
    items: list[Obj] = state.store.tables["session_plan"][session_id]["line_items"]
    return items


def pay(state: State, call: Call, session: Obj, card: Card) -> Obj:
    """The click on "Pay" or "Save". Returns the session's intent; after a decline the session stays open."""
    intent = _intent(state, call, session)
    billing = {name: session["customer_details"][name] for name in ("address", "email", "name", "phone")}
    method = new_payment_method(state, card, {**billing, "tax_id": None})
    ATTEMPT[session["mode"]](state, call, intent, method)
    _complete_if_done(state, call, session, intent)
    return intent


def authenticate(state: State, call: Call, session: Obj, *, passed: bool) -> Obj:
    """The answer on the 3-D Secure page."""
    intent = _intent(state, call, session)
    AUTHENTICATE[session["mode"]](state, call, intent, passed=passed)
    _complete_if_done(state, call, session, intent)
    return intent


def awaits_authentication(state: State, session: Obj) -> bool:
    intent = _existing_intent(state, session)
    return session["status"] == "open" and intent is not None and intent["status"] == "requires_action"


def renew_urls(state: State) -> None:
    """After a restart the pages may be on another port."""
    for session in list(state.store.newest_first("checkout.session")):
        if session["status"] == "open":
            session["url"] = _page_url(state, session["id"])
            save(state, session)


def _is_due(session: Obj, now: int) -> bool:
    return bool(session["status"] == "open" and session["expires_at"] <= now)


def _page_url(state: State, session_id: str) -> str:
    return f"{state.public_url}/pay/{session_id}"


def _check(state: State, params: Obj) -> None:
    mode = params.get("mode")
    if mode is None:
        raise missing("mode")
    if mode not in SUPPORTED_IN_MODE:
        raise invalid_request("The stand-in knows Checkout in payment and setup mode only", "mode")
    refuse_unsupported(params, (*SUPPORTED, *SUPPORTED_IN_MODE[mode]))
    for name, supported in SUPPORTED_INTENT_DATA.items():
        refuse_unsupported(params.get(name, {}), supported, inside=name)
    for name in ("line_items", "success_url") if mode == "payment" else ("success_url",):
        if not params.get(name):
            raise missing(name)
    if params.get("payment_method_types", ["card"]) != ["card"]:
        raise invalid_request("The stand-in takes cards only", "payment_method_types")
    for name in ("success_url", "cancel_url"):
        if not params.get(name, "http://").startswith(("http://", "https://")):
            raise invalid_request("Not a valid URL", name, "url_invalid")
    if "customer" in params:
        require(state, "customer", params["customer"], param="customer")
        if "customer_email" in params:
            raise invalid_request("You may only specify one of these parameters: customer, customer_email.")


def _expires_at(state: State, params: Obj) -> int:
    now = state.store.now()
    expires_at = int(params.get("expires_at", now + 24 * HOUR))
    if not now + 30 * MINUTE <= expires_at <= now + 24 * HOUR:
        raise invalid_request(
            "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours "
            "from Checkout Session creation.",
            "expires_at",
        )
    return expires_at


def _payment_values(state: State, call: Call, session_id: str) -> Obj:
    items = [_line_item(state, n, item) for n, item in enumerate(call.params["line_items"])]
    total_cents = _total_cents(items)
    intent_data = {"metadata": {}, **call.params.get("payment_intent_data", {})}
    state.store.put("session_plan", session_id, {"line_items": items, "payment_intent_data": intent_data})
    return {"amount_subtotal": total_cents, "amount_total": total_cents, "currency": items[0]["currency"]}


def _setup_values(state: State, call: Call, session_id: str) -> Obj:
    given = call.params.get("setup_intent_data", {})
    intent = setups.create_intent(
        state,
        call,
        customer=call.params.get("customer"),
        description=given.get("description"),
        metadata=merge_metadata({}, given.get("metadata", {})),
    )
    state.store.put("session_plan", session_id, {"line_items": []})
    return {
        "amount_subtotal": None,
        "amount_total": None,
        "currency": call.params.get("currency"),
        "payment_status": "no_payment_required",
        "setup_intent": intent["id"],
    }


def _line_item(state: State, position: int, given: Obj) -> Obj:
    param = f"line_items[{position}]"
    price_data = given.get("price_data")
    if price_data is None:
        raise no_such("price", given.get("price", ""), f"{param}[price]", status=400)
    if "product_data" not in price_data:
        raise missing(f"{param}[price_data][product_data]")
    check_lengths(price_data["product_data"], PRODUCT, inside=f"{param}[price_data][product_data]")
    unit_cents, quantity = price_data.get("unit_amount"), given.get("quantity")
    if unit_cents is None or quantity is None:
        raise missing(f"{param}[price_data][unit_amount]" if unit_cents is None else f"{param}[quantity]")
    if unit_cents < 0 or quantity < 1:
        raise invalid_request("Invalid amount or quantity: must be positive", param)
    return _item(state, price_data, unit_cents, quantity)


def _item(state: State, price_data: Obj, unit_cents: int, quantity: int) -> Obj:
    currency, cents = price_data["currency"].lower(), unit_cents * quantity
    item = build(
        state,
        "item",
        new_id("li"),
        adjustable_quantity=None,
        amount_subtotal=cents,
        amount_total=cents,
        currency=currency,
        description=price_data["product_data"]["name"],
        quantity=quantity,
    )
    del item["metadata"]
    item["price"] |= _price(state, currency, unit_cents)
    return item


def _price(state: State, currency: str, unit_cents: int) -> Obj:
    return {
        "id": new_id("price"),
        "created": state.store.now(),
        "currency": currency,
        "custom_unit_amount": None,
        "product": new_id("prod", 14),
        "recurring": None,
        "transform_quantity": None,
        "unit_amount": unit_cents,
        "unit_amount_decimal": str(unit_cents),
    }


def _total_cents(items: list[Obj]) -> int:
    if len({item["currency"] for item in items}) != 1:
        raise invalid_request("All line items must have the same currency.", "line_items")
    total_cents = sum(int(item["amount_total"]) for item in items)
    if refused := amount_refused(total_cents, items[0]["currency"]):
        raise refused
    return total_cents


def _customer_details(state: State, params: Obj) -> Obj:
    customer = state.store.get("customer", params.get("customer", "")) or {}
    return {
        "address": customer.get("address"),
        "business_name": None,
        "email": customer.get("email") or params.get("customer_email"),
        "individual_name": None,
        "name": customer.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _intent(state: State, call: Call, session: Obj) -> Obj:
    """Stripe creates a SetupIntent with its session, but a PaymentIntent at the first attempt to pay."""
    existing = _existing_intent(state, session)
    if existing is not None:
        return existing
    given: dict[str, Any] = state.store.tables["session_plan"][session["id"]]["payment_intent_data"]
    intent = payments.create_intent(
        state,
        call,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        payment_method_options=session["payment_method_options"],
        **given | {"metadata": merge_metadata({}, given["metadata"])},
    )
    session["payment_intent"] = intent["id"]
    save(state, session)
    return intent


def _existing_intent(state: State, session: Obj) -> Obj | None:
    kind = f"{session['mode']}_intent"
    return state.store.get(kind, session[kind] or "")


def _complete_if_done(state: State, call: Call, session: Obj, intent: Obj) -> None:
    if intent["status"] == "succeeded":
        paid = "paid" if session["mode"] == "payment" else session["payment_status"]
        session.update(status="complete", payment_status=paid, url=None)
        emit(state, call, "checkout.session.completed", save(state, session))


def _close_unpaid(state: State, call: Call, session: Obj) -> None:
    session.update(status="expired", url=None)
    intent = _existing_intent(state, session)
    if intent is not None and session["mode"] == "setup":
        setups.cancel(state, call, intent)
    elif intent is not None:
        payments.cancel(state, call, intent, "expired")
    emit(state, call, "checkout.session.expired", save(state, session))


def _included_items(state: State, session: Obj) -> Obj:
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return list_answer(Call(), url, line_items(state, session["id"]))


INCLUDABLE["checkout.session", "line_items"] = _included_items
INCLUDABLE["checkout.session.total_details", "breakdown"] = lambda state, obj: {"discounts": [], "taxes": []}
INCLUDABLE["item", "discounts"] = INCLUDABLE["item", "taxes"] = lambda state, item: []

ROUTES = [
    Route("POST", "/v1/checkout/sessions", SessionCreateParams, create),
    Route("GET", "/v1/checkout/sessions", SessionListParams, list_all),
    Route("GET", "/v1/checkout/sessions/{id}", SessionRetrieveParams, retrieve),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", SessionLineItemListParams, list_line_items),
    Route("POST", "/v1/checkout/sessions/{id}/expire", SessionExpireParams, expire),
]
