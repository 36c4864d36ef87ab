"""The one account that every key belongs to."""

from stripe.params import AccountRetrieveCurrentParams, AccountRetrieveParams

from csf.sandbox.stripe.resources import build, require, save
from csf.sandbox.stripe.state import Call, Route, State
from csf.sandbox.stripe.store import Obj, new_id


def retrieve(state: State, call: Call) -> Obj:
    accounts = state.store.newest_first("account")
    return next(accounts, None) or save(state, build(state, "account", new_id("acct", 16)))


def retrieve_by_id(state: State, call: Call, account_id: str) -> Obj:
    return require(state, "account", account_id)


ROUTES = [
    Route("GET", "/v1/account", AccountRetrieveCurrentParams, retrieve),
    Route("GET", "/v1/accounts/{id}", AccountRetrieveParams, retrieve_by_id),
]
