"""The one account that every key belongs to."""

from stripe.params import AccountRetrieveCurrentParams, AccountRetrieveParams

from demo.standins.stripe.objects.resources import build, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj

ACCOUNT_ID = "acct_1StandIn00000000"  # always the same, because databases outlive the stand-in's state


def retrieve(state: State, call: Call) -> Obj:
    return state.store.get("account", ACCOUNT_ID) or save(state, build(state, "account", ACCOUNT_ID))


def retrieve_by_id(state: State, call: Call, account_id: str) -> Obj:
    return require(state, "account", account_id)


ROUTES = [
    Route("GET", "/v1/account", AccountRetrieveCurrentParams, retrieve),
    Route("GET", "/v1/accounts/{id}", AccountRetrieveParams, retrieve_by_id),
]
