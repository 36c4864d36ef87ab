"""How an invoice is paid: its one PaymentIntent, linked to it by an InvoicePayment."""

from stripe.params import InvoicePaymentListParams, InvoicePaymentRetrieveParams, InvoicePayParams

from demo.standins.stripe.customers import payment_methods
from demo.standins.stripe.customers.declines import Decline
from demo.standins.stripe.objects import books
from demo.standins.stripe.objects.errors import card_error, wrong_state
from demo.standins.stripe.objects.resources import (
    INCLUDABLE,
    build,
    filtered,
    list_answer,
    refuse_unsupported,
    require,
    save,
)
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, copied, new_id
from demo.standins.stripe.payments import payments
from demo.standins.stripe.webhooks.events import emit

PAYABLE = ("open", "uncollectible")
REFUSALS = {
    "draft": "The stand-in pays finalized invoices only.",
    "paid": "Invoice is already paid",
    "void": "This invoice is void and can no longer be paid.",
}
NEEDS_ACTION = Decline(
    "invoice_payment_intent_requires_action",
    message="This payment requires additional user action before it can be completed successfully. Payment "
    "can be completed using the PaymentIntent associated with the invoice.",
)


def prepare(state: State, call: Call, invoice: Obj) -> None:
    """At finalization: the PaymentIntent knows nothing of the invoice, not even its metadata."""
    intent = payments.create_intent(
        state,
        call,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description="Payment for Invoice",
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
    )
    payment = build(
        state,
        "invoice_payment",
        new_id("inpay"),
        amount_requested=invoice["amount_due"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
    )
    save(state, payment)
    state.store.put("payment_of_invoice", invoice["id"], {"invoice_payment": payment["id"]})


def pay(state: State, call: Call, invoice_id: str) -> Obj:
    params = call.params
    refuse_unsupported(params, ("expand", "off_session", "paid_out_of_band", "payment_method"))
    invoice = require(state, "invoice", invoice_id)
    if invoice["status"] not in PAYABLE:
        raise wrong_state(REFUSALS[invoice["status"]])
    if params.get("paid_out_of_band"):  # as in the dashboard: "paid outside of Stripe"
        state.store.put("off_stripe", invoice_id, {"cents": invoice["amount_due"]})
        cancel(state, call, invoice)
        mark_paid(state, call, invoice)
        return invoice
    method_id = params.get("payment_method") or default_method(state, invoice)
    if method_id is None:
        raise wrong_state("There is no `default_payment_method` set on this Customer or Invoice.")
    method = payment_methods.owned(state, method_id, invoice["customer"])
    intent = collect(state, call, invoice, method, off_session=params.get("off_session", True))
    if intent["status"] == "requires_action":
        _failed(state, call, invoice, needs_action=True)
    if intent["status"] != "succeeded":
        error = intent["last_payment_error"] or NEEDS_ACTION.as_error()
        raise card_error(error, payment_intent=copied(intent))
    return invoice


def collect(state: State, call: Call, invoice: Obj, method: Obj, *, off_session: bool = False) -> Obj:
    """Charge this card; the status of the returned PaymentIntent says how it went."""
    intent = intent_of(state, invoice)
    payments.attempt(state, call, intent, method, off_session=off_session)
    _after_attempt(state, call, invoice, intent)
    return intent


def authenticate(state: State, call: Call, invoice: Obj, *, passed: bool) -> Obj:
    """The answer on the 3-D Secure page."""
    intent = intent_of(state, invoice)
    payments.authenticate(state, call, intent, passed=passed)
    _after_attempt(state, call, invoice, intent)
    return intent


def mark_paid(state: State, call: Call, invoice: Obj) -> None:
    invoice.update(amount_paid=invoice["amount_due"], amount_remaining=0, auto_advance=False, status="paid")
    invoice["attempted"] = True
    invoice["status_transitions"]["paid_at"] = state.store.now()
    save(state, invoice)
    record(state, invoice)
    payment = _payment_of(state, invoice)
    if payment is not None and payment["status"] == "open":
        payment.update(amount_paid=payment["amount_requested"], status="paid")
        payment["status_transitions"]["paid_at"] = state.store.now()
        emit(state, call, "invoice_payment.paid", save(state, payment))
    emit(state, call, "invoice.paid", invoice)
    emit(state, call, "invoice.payment_succeeded", invoice)


def cancel(state: State, call: Call, invoice: Obj) -> None:
    payment = _payment_of(state, invoice)
    if payment is not None:
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = state.store.now()
        save(state, payment)
        payments.cancel(state, call, intent_of(state, invoice), "void_invoice")


def intent_of(state: State, invoice: Obj) -> Obj:
    payment = _payment_of(state, invoice) or {"payment": {"payment_intent": ""}}
    return require(state, "payment_intent", payment["payment"]["payment_intent"])


def default_method(state: State, invoice: Obj) -> str | None:
    settings = require(state, "customer", invoice["customer"])["invoice_settings"]
    method_id: str | None = invoice["default_payment_method"] or settings["default_payment_method"]
    return method_id


def record(state: State, invoice: Obj) -> None:
    payment = _payment_of(state, invoice)
    books.record(
        state.store,
        "invoice",
        invoice,
        customer=invoice["customer"],
        payment_intent=payment and payment["payment"]["payment_intent"],
        amount_due_cents=invoice["amount_due"],
        amount_paid_cents=invoice["amount_paid"],
        metadata=dict(invoice["metadata"]),
    )


def _payment_of(state: State, invoice: Obj) -> Obj | None:
    row = state.store.get("payment_of_invoice", invoice["id"])
    return row and state.store.get("invoice_payment", row["invoice_payment"])


def _after_attempt(state: State, call: Call, invoice: Obj, intent: Obj) -> None:
    # Stripe counts its own retries: the first attempt, and none of those that we make later.
    invoice.update(attempted=True, attempt_count=1)
    save(state, invoice)
    if intent["status"] == "succeeded":
        mark_paid(state, call, invoice)
    elif intent["status"] == "requires_payment_method":
        code = intent["last_payment_error"]["code"]
        _failed(state, call, invoice, needs_action=code == "authentication_required")


def _failed(state: State, call: Call, invoice: Obj, *, needs_action: bool) -> None:
    emit(state, call, "invoice.payment_failed", invoice)
    if needs_action:
        emit(state, call, "invoice.payment_action_required", invoice)


def retrieve(state: State, call: Call, payment_id: str) -> Obj:
    return require(state, "invoice_payment", payment_id)


def list_all(state: State, call: Call) -> Obj:
    rows = filtered(state, call, "invoice_payment", ["invoice", "status"])
    intent_id = call.params.get("payment", {}).get("payment_intent")
    wanted = (row for row in rows if intent_id in (None, row["payment"]["payment_intent"]))
    return list_answer(call, "/v1/invoice_payments", wanted)


def _included_payments(state: State, invoice: Obj) -> Obj:
    call = Call(params={"invoice": invoice["id"]})
    return list_all(state, call)


def _off_stripe(state: State, invoice: Obj) -> int:
    """Only on request: docs.stripe.com/changelog/dahlia/2026-05-27, amount_paid_off_stripe."""
    row = state.store.get("off_stripe", invoice["id"])
    return row["cents"] if row else 0


INCLUDABLE["invoice", "payments"] = _included_payments
INCLUDABLE["invoice", "amount_paid_off_stripe"] = _off_stripe

ROUTES = [
    Route("POST", "/v1/invoices/{id}/pay", InvoicePayParams, pay),
    Route("GET", "/v1/invoice_payments", InvoicePaymentListParams, list_all),
    Route("GET", "/v1/invoice_payments/{id}", InvoicePaymentRetrieveParams, retrieve),
]
