"""Invoice items, and the lines that they become on an invoice."""

from typing import Any

from stripe.params import InvoiceItemCreateParams, InvoiceItemListParams, InvoiceItemRetrieveParams

from demo.standins.stripe.invoices.invoices import set_total
from demo.standins.stripe.objects.errors import invalid_request, wrong_state
from demo.standins.stripe.objects.resources import (
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
from demo.standins.stripe.requests.limits import INVOICE_LINE, check_lengths
from demo.standins.stripe.requests.validation import missing
from demo.standins.stripe.webhooks.events import emit

SUPPORTED = ("amount", "currency", "customer", "description", "expand", "invoice", "metadata")


def create(state: State, call: Call) -> Obj:
    params = call.params
    invoice = _draft(state, params)
    now = state.store.now()
    shared: dict[str, Any] = {
        "amount": params["amount"],
        "currency": invoice["currency"],
        "description": params.get("description"),
        "invoice": invoice["id"],
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "period": {"start": now, "end": now},
        "pricing": {"type": "price_details", "unit_amount_decimal": str(params["amount"])},
    }
    item = build(
        state,
        "invoiceitem",
        new_id("ii"),
        customer=invoice["customer"],
        date=now,
        net_amount=params["amount"],
        **shared,
    )
    emit(state, call, "invoiceitem.created", save(state, item))
    invoice["lines"]["data"].append(_line(state, item, shared))
    set_total(invoice, invoice["total"] + params["amount"])
    save(state, invoice)
    return item


def retrieve(state: State, call: Call, item_id: str) -> Obj:
    return require(state, "invoiceitem", item_id)


def list_all(state: State, call: Call) -> Obj:
    refuse_unsupported(
        call.params, ("customer", "ending_before", "expand", "invoice", "limit", "starting_after")
    )
    rows = filtered(state, call, "invoiceitem", ["customer", "invoice"])
    return list_answer(call, "/v1/invoiceitems", rows)


def _draft(state: State, params: Obj) -> Obj:
    """The invoice that the item is for."""
    refuse_unsupported(params, SUPPORTED)
    check_lengths(params, INVOICE_LINE)
    for name in ("customer", "amount", "invoice"):
        if name not in params:
            raise missing(name)
    invoice = require(state, "invoice", params["invoice"], param="invoice")
    if params["customer"] != invoice["customer"]:
        raise invalid_request("The invoice belongs to another customer.", "invoice")
    if str(params.get("currency", invoice["currency"])).lower() != invoice["currency"]:
        raise invalid_request("The invoice has another currency.", "currency")
    if params["amount"] < 0:
        raise invalid_request("The stand-in takes no negative amount", "amount")
    if invoice["status"] != "draft":
        raise wrong_state("This invoice is no longer editable.", "invoice_not_editable")
    return invoice


def _line(state: State, item: Obj, shared: Obj) -> Obj:
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    parent = {
        "invoice_item_details": details,
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
    return build(
        state,
        "line_item",
        new_id("il"),
        parent=parent,
        quantity_decimal="1",
        subtotal=item["amount"],
        **shared,
    )


ROUTES = [
    Route("POST", "/v1/invoiceitems", InvoiceItemCreateParams, create),
    Route("GET", "/v1/invoiceitems", InvoiceItemListParams, list_all),
    Route("GET", "/v1/invoiceitems/{id}", InvoiceItemRetrieveParams, retrieve),
]
