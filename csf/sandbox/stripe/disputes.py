"""Disputes: the bank takes the money of a charge back, and the shop wins or loses."""

from stripe.params import DisputeListParams, DisputeRetrieveParams

from csf.sandbox.stripe import books
from csf.sandbox.stripe.errors import wrong_state
from csf.sandbox.stripe.events import emit
from csf.sandbox.stripe.resources import build, filtered, list_answer, require, save
from csf.sandbox.stripe.state import Call, Route, State
from csf.sandbox.stripe.store import Obj, new_id

DAY = 24 * 3600
ENDS = ("won", "lost")


def open_dispute(state: State, call: Call, charge: Obj, reason: str = "fraudulent") -> Obj:
    if charge["disputed"]:
        raise wrong_state(f"The charge {charge['id']} is disputed already.")
    dispute = build(
        state,
        "dispute",
        new_id("du"),
        amount=charge["amount"] - charge["amount_refunded"],
        charge=charge["id"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        reason=reason,
    )
    dispute["evidence_details"]["due_by"] = state.store.now() + 14 * DAY
    charge["disputed"] = True
    save(state, charge)
    _record(state, dispute, charge)
    emit(state, call, "charge.dispute.created", save(state, dispute))
    return dispute


def close(state: State, call: Call, dispute_id: str, status: str) -> Obj:
    """The bank decides: "won" gives the money back to the shop."""
    if status not in ENDS:
        raise ValueError(f"a dispute ends as one of {', '.join(ENDS)}")
    dispute = require(state, "dispute", dispute_id)
    if dispute["status"] in ENDS:
        raise wrong_state("This dispute is already closed.")
    dispute["status"] = status
    charge = require(state, "charge", dispute["charge"])
    _record(state, dispute, charge)
    emit(state, call, "charge.dispute.closed", save(state, dispute))
    return dispute


def blocks_refund(state: State, charge: Obj) -> bool:
    """The bank has the money, or will not say yet who gets it."""
    found = state.store.newest_first("dispute", lambda dispute: dispute["charge"] == charge["id"])
    return any(dispute["status"] != "won" for dispute in found)


def _record(state: State, dispute: Obj, charge: Obj) -> None:
    books.record(
        state.store,
        "dispute",
        dispute,
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        customer=charge["customer"],
        amount_cents=dispute["amount"],
        reason=dispute["reason"],
    )


def retrieve(state: State, call: Call, dispute_id: str) -> Obj:
    return require(state, "dispute", dispute_id)


def list_all(state: State, call: Call) -> Obj:
    return list_answer(call, "/v1/disputes", filtered(state, call, "dispute", ["charge", "payment_intent"]))


ROUTES = [
    Route("GET", "/v1/disputes", DisputeListParams, list_all),
    Route("GET", "/v1/disputes/{id}", DisputeRetrieveParams, retrieve),
]
