"""Disputes: the bank takes the money of a charge back, and the shop wins or loses.

An inquiry (`warning_...`) takes no money; it is closed, or becomes a dispute. A dispute takes the money and a
fee at once, with an event of its own; the bank's decision comes before the money does
(https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/api/events/types).
"""

from stripe.params import DisputeListParams, DisputeRetrieveParams

from demo.standins.stripe.objects import books
from demo.standins.stripe.objects.errors import wrong_state
from demo.standins.stripe.objects.resources import build, filtered, list_answer, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, new_id
from demo.standins.stripe.payments import balance, fraud_warnings
from demo.standins.stripe.webhooks.events import emit

DAY = 24 * 3600
ENDS = ("won", "lost", "warning_closed", "prevented")
TAKEN = ("needs_response", "under_review")
OPEN = (*TAKEN, "warning_needs_response", "warning_under_review")
FEE_CENTS = 1500


def open_dispute(
    state: State,
    call: Call,
    charge: Obj,
    reason: str = "fraudulent",
    status: str = "needs_response",
    amount: int | None = None,
) -> Obj:
    """Without an amount, for everything not refunded yet."""
    if status not in OPEN:
        raise ValueError(f"a dispute begins as one of {', '.join(OPEN)}")
    if charge["disputed"]:
        raise wrong_state(f"The charge {charge['id']} is disputed already.")
    dispute = build(
        state,
        "dispute",
        new_id("du"),
        amount=charge["amount"] - charge["amount_refunded"] if amount is None else amount,
        charge=charge["id"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        reason=reason,
        status=status,
    )
    dispute["evidence_details"]["due_by"] = state.store.now() + 14 * DAY
    charge["disputed"] = True
    save(state, charge)
    _record(state, dispute, charge)
    emit(state, call, "charge.dispute.created", save(state, dispute))
    if status in TAKEN:
        _move(state, call, dispute, -dispute["amount"])
    fraud_warnings.follow(state, call, charge)
    return dispute


def decide(
    state: State, call: Call, dispute_id: str, status: str, withdrawn: int = 0, reinstated: int = 0
) -> Obj:
    """The bank decides: "won" gives the money back to the shop. `withdrawn` is what "prevented" cost;
    `reinstated` is what comes back although the dispute is lost: what was refunded before it."""
    if status not in ENDS + OPEN:
        raise ValueError(f"a dispute is one of {', '.join(OPEN + ENDS)}")
    dispute = require(state, "dispute", dispute_id)
    if dispute["status"] in ENDS:
        raise wrong_state("This dispute is already closed.")
    dispute["status"] = status
    _record(state, dispute, require(state, "charge", dispute["charge"]))
    word = "closed" if status in ENDS else "updated"
    emit(state, call, f"charge.dispute.{word}", save(state, dispute))
    has_taken = bool(dispute["balance_transactions"])
    if withdrawn or (status in TAKEN and not has_taken):
        _move(state, call, dispute, -(withdrawn or dispute["amount"]))
    elif reinstated or (status == "won" and has_taken):
        _move(state, call, dispute, reinstated or dispute["amount"])
    return dispute


def _move(state: State, call: Call, dispute: Obj, cents: int) -> None:
    word, fee_cents = ("withdrawal", FEE_CENTS) if cents < 0 else ("reversal", 0)
    text = f"Chargeback {word} for {dispute['charge']}"
    row = balance.move(state, dispute, cents, "adjustment", text, fee_cents=fee_cents)
    dispute["balance_transactions"] = [*dispute["balance_transactions"], row]
    event = "funds_withdrawn" if cents < 0 else "funds_reinstated"
    emit(state, call, f"charge.dispute.{event}", save(state, dispute))


def blocks_refund(state: State, charge: Obj) -> bool:
    """The bank holds the money, or has not decided who gets it. An inquiry blocks no refund:
    https://docs.stripe.com/disputes/how-disputes-work"""
    found = state.store.newest_first("dispute", lambda dispute: dispute["charge"] == charge["id"])
    return any(dispute["status"] in ("needs_response", "under_review", "lost") for dispute in found)


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
