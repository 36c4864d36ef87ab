"""Saved cards: attached to a customer by a payment, a setup or an API call."""

from stripe.params import (
    CustomerPaymentMethodListParams,
    PaymentMethodAttachParams,
    PaymentMethodDetachParams,
    PaymentMethodRetrieveParams,
)

from demo.standins.stripe.customers.cards import (
    BY_ALIAS,
    Card,
    card_of,
    keep_record,
    new_payment_method,
    record_of,
    set_number,
)
from demo.standins.stripe.customers.declines import decline_for
from demo.standins.stripe.objects.errors import card_error, invalid_request, wrong_state
from demo.standins.stripe.objects.resources import filtered, list_answer, refuse_unsupported, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, copied
from demo.standins.stripe.requests.validation import missing
from demo.standins.stripe.webhooks.events import emit

NO_BILLING_DETAILS = dict.fromkeys(("address", "email", "name", "phone", "tax_id"))


def retrieve(state: State, call: Call, method_id: str) -> Obj:
    return _require(state, method_id)


def list_of_customer(state: State, call: Call, customer_id: str) -> Obj:
    require(state, "customer", customer_id, param="customer")
    call.params["customer"] = customer_id
    methods = filtered(state, call, "payment_method", ["customer", "type", "allow_redisplay"])
    return list_answer(call, f"/v1/customers/{customer_id}/payment_methods", methods)


def attach(state: State, call: Call, method_id: str) -> Obj:
    refuse_unsupported(call.params, ("customer", "expand"))
    if "customer" not in call.params:
        raise missing("customer")
    customer = require(state, "customer", call.params["customer"], param="customer")
    card = BY_ALIAS.get(method_id)
    method = new_payment_method(state, card, dict(NO_BILLING_DETAILS)) if card else _require(state, method_id)
    _check_attachable(state, method, customer["id"])
    _attach(state, call, method, customer["id"])
    return method


def detach(state: State, call: Call, method_id: str) -> Obj:
    method = _require(state, method_id)
    customer_id = method["customer"]
    if customer_id is None:
        raise wrong_state(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    method["customer"] = None
    keep_record(state, method, detached=True)
    settings = require(state, "customer", customer_id)["invoice_settings"]
    if settings["default_payment_method"] == method_id:
        settings["default_payment_method"] = None
        save(state, require(state, "customer", customer_id))
    emit(state, call, "payment_method.detached", save(state, method), previous={"customer": customer_id})
    return method


def owned(state: State, method_id: str, customer_id: str) -> Obj:
    """A saved card of this customer, or Stripe's refusal."""
    method = state.store.get("payment_method", method_id)
    if method is None or method["customer"] != customer_id:
        raise invalid_request(
            f"The customer does not have a payment method with the ID {method_id}. "
            "The payment method must be attached to the customer.",
            "payment_method",
            "resource_missing",
        )
    return method


def keep_for_later(state: State, call: Call, method: Obj, customer_id: str | None) -> None:
    """After a payment or setup in the customer's presence: from now on the bank asks for less."""
    keep_record(state, method, set_up=True)
    if customer_id is not None and method["customer"] != customer_id:
        method["allow_redisplay"] = "limited"
        _attach(state, call, method, customer_id)


def automatically_update(state: State, method_id: str, card: Card | None, changes: Obj) -> Obj:
    """The bank replaced the card: a new expiry date, perhaps a new number."""
    method = _require(state, method_id)
    old = copied(method["card"])
    if card is not None:
        set_number(state, method, card)
    method["card"] |= changes
    previous = {name: value for name, value in old.items() if method["card"][name] != value}
    emit(
        state,
        Call(),
        "payment_method.automatically_updated",
        save(state, method),
        previous={"card": previous},
    )
    return method


def _require(state: State, method_id: str) -> Obj:
    return require(state, "payment_method", method_id, name="PaymentMethod")


def _check_attachable(state: State, method: Obj, customer_id: str) -> None:
    if method["customer"] is not None:
        raise wrong_state("The payment method you provided has already been attached to a customer.")
    if record_of(state, method).get("detached"):
        raise wrong_state(
            "This PaymentMethod was previously detached from a Customer, and may not be used again."
        )
    code = card_of(state, method).setup_decline
    if code is not None:
        raise card_error(decline_for(code).as_error())


def _attach(state: State, call: Call, method: Obj, customer_id: str) -> None:
    method["customer"] = customer_id
    emit(state, call, "payment_method.attached", save(state, method))


ROUTES = [
    Route("GET", "/v1/customers/{id}/payment_methods", CustomerPaymentMethodListParams, list_of_customer),
    Route("GET", "/v1/payment_methods/{id}", PaymentMethodRetrieveParams, retrieve),
    Route("POST", "/v1/payment_methods/{id}/attach", PaymentMethodAttachParams, attach),
    Route("POST", "/v1/payment_methods/{id}/detach", PaymentMethodDetachParams, detach),
]
