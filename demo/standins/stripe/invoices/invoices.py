"""Invoices, from draft to paid or void; `invoice_payments` has how one is paid."""

from typing import Any

from stripe.params import (
    InvoiceCreateParams,
    InvoiceDeleteParams,
    InvoiceFinalizeInvoiceParams,
    InvoiceLineItemListParams,
    InvoiceListParams,
    InvoiceMarkUncollectibleParams,
    InvoiceRetrieveParams,
    InvoiceUpdateParams,
    InvoiceVoidInvoiceParams,
)

from demo.standins.stripe.customers import payment_methods
from demo.standins.stripe.invoices import invoice_payments
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
from demo.standins.stripe.requests.limits import amount_refused
from demo.standins.stripe.requests.validation import missing
from demo.standins.stripe.webhooks.events import emit

SUPPORTED = (
    "auto_advance",
    "collection_method",
    "currency",
    "customer",
    "default_payment_method",
    "description",
    "expand",
    "metadata",
    "payment_settings",
    "pending_invoice_items_behavior",
)
# Parameters of which the stand-in supports only one value.
ONLY = {
    "collection_method": "charge_automatically",
    "payment_settings": {"payment_method_types": ["card"]},
    "pending_invoice_items_behavior": "exclude",
}
TOTALS = (
    "amount_due",
    "amount_remaining",
    "subtotal",
    "subtotal_excluding_tax",
    "total",
    "total_excluding_tax",
)


def create(state: State, call: Call) -> Obj:
    params = call.params
    customer = _checked_customer(state, params)
    invoice_id, now = new_id("in"), state.store.now()
    invoice = build(
        state,
        "invoice",
        invoice_id,
        auto_advance=params.get("auto_advance", False),
        currency=params.get("currency", "usd").lower(),
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        default_payment_method=params.get("default_payment_method"),
        description=params.get("description"),
        lines={"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{invoice_id}/lines"},
        metadata=merge_metadata({}, params.get("metadata", {})),
        payment_settings=_payment_settings(params.get("payment_settings", {})),
        period_end=now,
        period_start=now,
    )
    set_total(invoice, 0)
    _changed(state, call, invoice, "invoice.created")
    return invoice


def update(state: State, call: Call, invoice_id: str) -> Obj:
    params = call.params
    refuse_unsupported(params, ("auto_advance", "expand", "metadata"))
    invoice = retrieve(state, call, invoice_id)
    new: Obj = {}
    if "auto_advance" in params:
        new["auto_advance"] = params["auto_advance"]
    if "metadata" in params:
        new["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    old = {name: invoice[name] for name in new}
    invoice.update(new)
    _changed(state, call, invoice, "invoice.updated", previous=old)
    return invoice


def finalize(state: State, call: Call, invoice_id: str) -> Obj:
    invoice = retrieve(state, call, invoice_id)
    if invoice["status"] != "draft":
        raise wrong_state("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    if invoice["total"] > 0 and (refused := amount_refused(invoice["total"], invoice["currency"])):
        raise refused
    now = state.store.now()
    invoice.update(
        auto_advance=call.params.get("auto_advance", invoice["auto_advance"]),
        effective_at=now,
        hosted_invoice_url=_page_url(state, invoice_id),
        number=_next_number(state, invoice["customer"]),
        status="open",
    )
    invoice["status_transitions"]["finalized_at"] = now
    _apply_balance(state, invoice)
    if invoice["amount_due"] > 0:
        invoice_payments.prepare(state, call, invoice)
    _changed(state, call, invoice, "invoice.finalized")
    if invoice["amount_due"] == 0:
        invoice_payments.mark_paid(state, call, invoice)
    return invoice


def delete(state: State, call: Call, invoice_id: str) -> Obj:
    """Only drafts can be deleted (docs.stripe.com/api/invoices/delete); nothing of them remains."""
    invoice = retrieve(state, call, invoice_id)
    if invoice["status"] != "draft":
        raise wrong_state("You can only delete draft invoices.")
    state.store.delete("invoice", invoice_id)
    invoice_payments.record(state, {**invoice, "status": "deleted"})
    emit(state, call, "invoice.deleted", invoice)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def void(state: State, call: Call, invoice_id: str) -> Obj:
    invoice = _unpaid(state, call, invoice_id, ("open", "uncollectible"))
    invoice.update(auto_advance=False, status="void")
    invoice["status_transitions"]["voided_at"] = state.store.now()
    invoice_payments.cancel(state, call, invoice)
    _give_balance_back(state, invoice)
    _changed(state, call, invoice, "invoice.voided")
    return invoice


def mark_uncollectible(state: State, call: Call, invoice_id: str) -> Obj:
    invoice = _unpaid(state, call, invoice_id, ("open",))
    invoice.update(auto_advance=False, status="uncollectible")
    invoice["status_transitions"]["marked_uncollectible_at"] = state.store.now()
    _changed(state, call, invoice, "invoice.marked_uncollectible")
    return invoice


def retrieve(state: State, call: Call, invoice_id: str) -> Obj:
    return require(state, "invoice", invoice_id)


def list_all(state: State, call: Call) -> Obj:
    refuse_unsupported(
        call.params, ("created", "customer", "ending_before", "expand", "limit", "starting_after", "status")
    )
    return list_answer(call, "/v1/invoices", filtered(state, call, "invoice", ["customer", "status"]))


def list_lines(state: State, call: Call, invoice_id: str) -> Obj:
    lines = retrieve(state, call, invoice_id)["lines"]
    return list_answer(call, lines["url"], lines["data"])


def set_total(invoice: Obj, cents: int) -> None:
    invoice.update(dict.fromkeys(TOTALS, cents))


def renew_urls(state: State) -> None:
    """After a restart the pages may be on another port."""
    for invoice in list(state.store.newest_first("invoice")):
        if invoice["hosted_invoice_url"] is not None:
            invoice["hosted_invoice_url"] = _page_url(state, invoice["id"])
            save(state, invoice)


def _apply_balance(state: State, invoice: Obj) -> None:
    """A customer's credit pays first (docs.stripe.com/billing/customer/balance); below zero is credit."""
    customer = require(state, "customer", invoice["customer"])
    start = customer["balance"]
    used = min(invoice["total"], max(-start, 0))
    customer["balance"] = start + used
    save(state, customer)
    invoice.update(starting_balance=start, ending_balance=start + used)
    invoice.update(dict.fromkeys(("amount_due", "amount_remaining"), invoice["total"] - used))


def _give_balance_back(state: State, invoice: Obj) -> None:
    customer = state.store.get("customer", invoice["customer"])
    if customer is not None:  # it may have been deleted
        customer["balance"] -= invoice["total"] - invoice["amount_due"]
        save(state, customer)


def _page_url(state: State, invoice_id: str) -> str:
    return f"{state.public_url}/invoice/{invoice_id}"


def _changed(state: State, call: Call, invoice: Obj, event_type: str, *, previous: Obj | None = None) -> None:
    save(state, invoice)
    invoice_payments.record(state, invoice)
    emit(state, call, event_type, invoice, previous=previous)


def _checked_customer(state: State, params: Obj) -> Obj:
    refuse_unsupported(params, SUPPORTED)
    for name, only in ONLY.items():
        if params.get(name, only) != only:
            raise invalid_request(f"The stand-in knows no other {name} than {only}", name)
    if "customer" not in params:
        raise missing("customer")
    customer = require(state, "customer", params["customer"], param="customer")
    if "default_payment_method" in params:
        payment_methods.owned(state, params["default_payment_method"], customer["id"])
    return customer


def _payment_settings(given: Obj) -> dict[str, Any]:
    return {
        "default_mandate": None,
        "payment_method_options": None,
        "payment_method_types": given.get("payment_method_types"),
    }


def _next_number(state: State, customer_id: str) -> str:
    customer = require(state, "customer", customer_id)
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    save(state, customer)
    return f"{customer['invoice_prefix']}-{number:04}"


def _unpaid(state: State, call: Call, invoice_id: str, statuses: tuple[str, ...]) -> Obj:
    invoice = retrieve(state, call, invoice_id)
    if invoice["status"] not in statuses:
        raise wrong_state("You can only pass in open invoices. This invoice isn't open.")
    return invoice


ROUTES = [
    Route("POST", "/v1/invoices", InvoiceCreateParams, create),
    Route("GET", "/v1/invoices", InvoiceListParams, list_all),
    Route("GET", "/v1/invoices/{id}", InvoiceRetrieveParams, retrieve),
    Route("POST", "/v1/invoices/{id}", InvoiceUpdateParams, update),
    Route("DELETE", "/v1/invoices/{id}", InvoiceDeleteParams, delete),
    Route("GET", "/v1/invoices/{id}/lines", InvoiceLineItemListParams, list_lines),
    Route("POST", "/v1/invoices/{id}/finalize", InvoiceFinalizeInvoiceParams, finalize),
    Route("POST", "/v1/invoices/{id}/void", InvoiceVoidInvoiceParams, void),
    Route("POST", "/v1/invoices/{id}/mark_uncollectible", InvoiceMarkUncollectibleParams, mark_uncollectible),
]
