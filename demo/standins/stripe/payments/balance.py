"""Transactions on the account's balance, as the objects that caused them show them."""

from stripe.params import BalanceTransactionRetrieveParams

from demo.standins.stripe.objects.resources import build, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, new_id


def move(state: State, source: Obj, cents: int, kind: str, text: str, *, fee_cents: int = 0) -> Obj:
    """Record money that comes in (above zero) or goes out for this charge or dispute."""
    now = state.store.now()
    transaction = build(
        state,
        "balance_transaction",
        new_id("txn"),
        amount=cents,
        available_on=now,
        currency=source["currency"],
        description=text,
        fee=fee_cents,
        net=cents - fee_cents,
        reporting_category="charge" if kind == "charge" else "dispute",
        source=source["id"],
        type=kind,
    )
    return save(state, transaction)


def retrieve(state: State, call: Call, transaction_id: str) -> Obj:
    return require(state, "balance_transaction", transaction_id)


ROUTES = [Route("GET", "/v1/balance_transactions/{id}", BalanceTransactionRetrieveParams, retrieve)]
