"""Refunds, which may still fail days after they succeeded."""

from stripe.params import RefundCreateParams, RefundListParams, RefundRetrieveParams

from demo.standins.stripe.customers.cards import card_of
from demo.standins.stripe.objects import books
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
from demo.standins.stripe.payments import disputes, fraud_warnings
from demo.standins.stripe.webhooks.events import emit

TURNS_AFTER_SECONDS = 24 * 3600
TURNS = {"pends": ("pending", "succeeded"), "fails": ("succeeded", "failed")}  # first and last status
ALIVE = ("pending", "succeeded")
STATUSES = (*ALIVE, "failed", "canceled")
SUPPORTED = ("amount", "charge", "expand", "metadata", "payment_intent", "reason")


def create(state: State, call: Call) -> Obj:
    params = call.params
    refuse_unsupported(params, SUPPORTED)
    charge = _charge(state, params)
    amount = _amount(state, charge, params.get("amount"))
    first, last = _course(state, charge)
    refund = build(
        state,
        "refund",
        new_id("re"),
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        metadata=merge_metadata({}, params.get("metadata", {})),
        payment_intent=charge["payment_intent"],
        reason=params.get("reason"),
        status=first,
    )
    due = state.store.now() + TURNS_AFTER_SECONDS
    state.store.put("refund_turn", refund["id"], {"at": due, "status": last})
    _settle(state, refund, charge)
    emit(state, call, "refund.created", save(state, refund))
    emit(state, call, "charge.refunded", charge)
    fraud_warnings.follow(state, call, charge)
    return refund


def turn(state: State, call: Call, refund_id: str, status: str) -> Obj:
    """The bank's final answer to a refund; for most, only a reference by which to trace it.

    Since 2024-10-28 every refund sends `refund.*`, beside the older `charge.refund.updated`:
    https://docs.stripe.com/changelog/acacia/2024-10-28/refund-webhook-update
    """
    if status not in STATUSES:
        raise ValueError(f"a refund is one of {', '.join(STATUSES)}")
    refund = require(state, "refund", refund_id)
    refund["status"] = status
    if status == "failed":
        refund["failure_reason"] = "expired_or_canceled_card"
    else:
        refund.pop("failure_reason", None)
        refund["destination_details"] = _traced(refund)
    state.store.delete("refund_turn", refund_id)
    save(state, refund)
    _settle(state, refund, require(state, "charge", refund["charge"]))
    emit(state, call, "refund.updated", refund)
    emit(state, call, "charge.refund.updated", refund)
    if status == "failed":
        emit(state, call, "refund.failed", refund)
    return refund


def _traced(refund: Obj) -> Obj:
    """https://docs.stripe.com/refunds#tracing-refunds"""
    card = {
        "reference": refund["id"][-12:],
        "reference_status": "available",
        "reference_type": "acquirer_reference_number",
        "type": "refund",
    }
    return {"card": card, "type": "card"}


def turn_due(state: State) -> None:
    now = state.store.now()
    for refund_id, row in list(state.store.tables["refund_turn"].items()):
        if row["at"] <= now:
            turn(state, Call(), refund_id, row["status"])


def _charge(state: State, params: Obj) -> Obj:
    if len({"charge", "payment_intent"} & params.keys()) != 1:
        raise invalid_request("You must pass one of `charge` or `payment_intent`.", "payment_intent")
    if "charge" in params:
        charge = require(state, "charge", params["charge"], param="charge")
    else:
        intent = require(state, "payment_intent", params["payment_intent"], param="payment_intent")
        charge = state.store.get("charge", intent["latest_charge"] or "") or {"paid": False}
    if not charge["paid"]:
        which = params.get("payment_intent") or charge["id"]
        raise wrong_state(f"This PaymentIntent ({which}) does not have a successful charge to refund.")
    return charge


def _amount(state: State, charge: Obj, wanted: int | None) -> int:
    left: int = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise wrong_state(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if disputes.blocks_refund(state, charge):
        raise wrong_state(f"Charge {charge['id']} has been charged back; cannot refund.", "charge_disputed")
    if wanted is not None and wanted < 1:
        raise invalid_request("Invalid positive integer", "amount", "parameter_invalid_integer")
    if wanted is not None and wanted > left:
        raise wrong_state(
            f"Refund amount (${wanted / 100:.2f}) is greater than unrefunded amount on charge "
            f"(${left / 100:.2f})",
            param="amount",
        )
    return left if wanted is None else wanted


def _course(state: State, charge: Obj) -> tuple[str, str]:
    card = card_of(state, {"id": charge["payment_method"]})
    return TURNS.get(card.refund, ("succeeded", "succeeded"))


def _settle(state: State, refund: Obj, charge: Obj) -> None:
    """Book the refund, and add up what has been refunded on the charge."""
    books.record(
        state.store,
        "refund",
        refund,
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        customer=charge["customer"],
        amount_cents=refund["amount"],
        metadata=dict(refund["metadata"]),
    )
    refunds = {**state.store.tables["refund"], refund["id"]: refund}
    charge["amount_refunded"] = sum(
        row["amount"] for row in refunds.values() if row["charge"] == charge["id"] and row["status"] in ALIVE
    )
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    save(state, charge)


def retrieve(state: State, call: Call, refund_id: str) -> Obj:
    return require(state, "refund", refund_id)


def list_all(state: State, call: Call) -> Obj:
    return list_answer(call, "/v1/refunds", filtered(state, call, "refund", ["charge", "payment_intent"]))


ROUTES = [
    Route("POST", "/v1/refunds", RefundCreateParams, create),
    Route("GET", "/v1/refunds", RefundListParams, list_all),
    Route("GET", "/v1/refunds/{id}", RefundRetrieveParams, retrieve),
]
