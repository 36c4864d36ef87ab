"""The one account that every key belongs to."""

from stripe.params import AccountRetrieveCurrentParams

from csf.sandbox.stripe.resources import build, save
from csf.sandbox.stripe.state import Call, Route, State
from csf.sandbox.stripe.store import Obj, new_id


def retrieve(state: State, call: Call) -> Obj:
    accounts = state.store.newest_first("account")
    return next(accounts, None) or save(state, build(state, "account", new_id("acct", 16)))


ROUTES = [Route("GET", "/v1/account", AccountRetrieveCurrentParams, retrieve)]
