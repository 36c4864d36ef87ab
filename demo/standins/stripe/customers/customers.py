"""Customers and their saved cards."""

from collections.abc import Callable
from typing import Any

from stripe.params import (
    CustomerCreateParams,
    CustomerDeleteParams,
    CustomerListParams,
    CustomerRetrieveParams,
    CustomerUpdateParams,
)

from demo.standins.stripe.customers.cards import keep_record
from demo.standins.stripe.objects.errors import invalid_request
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
from demo.standins.stripe.requests.limits import CUSTOMER, check_address, check_lengths
from demo.standins.stripe.webhooks.events import emit

PLAIN_FIELDS = (
    "address",
    "description",
    "email",
    "name",
    "phone",
    "preferred_locales",
    "shipping",
    "tax_exempt",
)
SETTABLE = frozenset((*PLAIN_FIELDS, "balance", "metadata", "invoice_settings", "expand"))


def create(state: State, call: Call) -> Obj:
    values = {
        "currency": None,
        "invoice_prefix": new_id("", 8)[1:].upper(),
        "invoice_settings": _NO_INVOICE_SETTINGS,
        "address": None,
        "balance": 0,
    }
    customer = build(state, "customer", new_id("cus", 14), **values)
    _apply(state, customer, call.params)
    emit(state, call, "customer.created", save(state, customer))
    return customer


def update(state: State, call: Call, customer_id: str) -> Obj:
    customer = require(state, "customer", customer_id)
    changed = _apply(state, customer, call.params)
    emit(state, call, "customer.updated", save(state, customer), previous=changed)
    return customer


def retrieve(state: State, call: Call, customer_id: str) -> Obj:
    """A deleted customer is still returned, marked as deleted (docs.stripe.com/api/customers/retrieve)."""
    return state.store.get("deleted_customer", customer_id) or require(state, "customer", customer_id)


def delete(state: State, call: Call, customer_id: str) -> Obj:
    """Permanently (docs.stripe.com/api/customers/delete), together with its cards; nothing new can be created
    for it. Its invoices stay and can still be voided."""
    customer = require(state, "customer", customer_id)
    for method in state.store.newest_first(
        "payment_method", lambda row: bool(row["customer"] == customer_id)
    ):
        method["customer"] = None
        keep_record(state, method, detached=True)
        save(state, method)
    state.store.delete("customer", customer_id)
    emit(state, call, "customer.deleted", customer)
    deleted = {"id": customer_id, "object": "customer", "deleted": True}
    state.store.put("deleted_customer", customer_id, deleted)
    return deleted


def list_all(state: State, call: Call) -> Obj:
    return list_answer(call, "/v1/customers", filtered(state, call, "customer", ["email"]))


def _apply(state: State, customer: Obj, params: Obj) -> Obj:
    """Set the given values and return the old ones."""
    refuse_unsupported(params, SETTABLE)
    check_lengths(params, CUSTOMER)
    check_address(params)
    new: Obj = {name: params[name] or None for name in PLAIN_FIELDS if name in params}
    if "balance" in params:
        new["balance"] = params["balance"]
    if "metadata" in params:
        new["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if "invoice_settings" in params:
        new["invoice_settings"] = _invoice_settings(state, customer, params["invoice_settings"])
    old = {name: customer[name] for name in new}
    customer.update(new)
    return old


def _invoice_settings(state: State, customer: Obj, given: Obj) -> Obj:
    settings = {**customer["invoice_settings"], **{name: value or None for name, value in given.items()}}
    method_id = settings["default_payment_method"]
    if method_id is not None:
        param = "invoice_settings[default_payment_method]"
        method = require(state, "payment_method", method_id, name="PaymentMethod", param=param)
        if method["customer"] != customer["id"]:
            raise invalid_request("The customer does not have a payment method with this ID.", param)
    return settings


_NO_INVOICE_SETTINGS: dict[str, Any] = {
    "custom_fields": None,
    "default_payment_method": None,
    "footer": None,
    "rendering_options": None,
}


def _nothing(path: str) -> Callable[[State, Obj], Obj]:
    """Lists that only other payment methods would fill."""
    return lambda state, customer: {
        "object": "list",
        "data": [],
        "has_more": False,
        "url": f"/v1/customers/{customer['id']}/{path}",
    }


for _name in ("sources", "subscriptions", "tax_ids"):
    INCLUDABLE["customer", _name] = _nothing(_name)

ROUTES = [
    Route("POST", "/v1/customers", CustomerCreateParams, create),
    Route("GET", "/v1/customers", CustomerListParams, list_all),
    Route("GET", "/v1/customers/{id}", CustomerRetrieveParams, retrieve),
    Route("POST", "/v1/customers/{id}", CustomerUpdateParams, update),
    Route("DELETE", "/v1/customers/{id}", CustomerDeleteParams, delete),
]
