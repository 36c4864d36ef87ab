"""Early fraud warnings: the bank reports a payment as fraudulent, usually some days before it disputes it.

https://docs.stripe.com/api/radar/early_fraud_warnings/object
"""

from stripe.params.radar import EarlyFraudWarningListParams, EarlyFraudWarningRetrieveParams

from demo.standins.stripe.objects.resources import build, filtered, list_answer, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, new_id
from demo.standins.stripe.webhooks.events import emit

KIND = "radar.early_fraud_warning"


def warn(state: State, call: Call, charge: Obj, fraud_type: str = "unauthorized_use_of_card") -> Obj:
    warning = build(
        state,
        KIND,
        new_id("issfr"),
        actionable=_is_actionable(charge),
        charge=charge["id"],
        fraud_type=fraud_type,
        payment_intent=charge["payment_intent"],
    )
    emit(state, call, f"{KIND}.created", save(state, warning))
    return warning


def follow(state: State, call: Call, charge: Obj) -> None:
    """Once the charge is disputed or fully refunded, its warnings no longer need action."""
    if _is_actionable(charge):
        return
    for warning in list(state.store.newest_first(KIND, lambda row: bool(row["charge"] == charge["id"]))):
        if warning["actionable"]:
            warning["actionable"] = False
            emit(state, call, f"{KIND}.updated", save(state, warning), previous={"actionable": True})


def _is_actionable(charge: Obj) -> bool:
    return not (charge["disputed"] or charge["refunded"])


def retrieve(state: State, call: Call, warning_id: str) -> Obj:
    return require(state, KIND, warning_id)


def list_all(state: State, call: Call) -> Obj:
    rows = filtered(state, call, KIND, ["charge", "payment_intent"])
    return list_answer(call, "/v1/radar/early_fraud_warnings", rows)


ROUTES = [
    Route("GET", "/v1/radar/early_fraud_warnings", EarlyFraudWarningListParams, list_all),
    Route("GET", "/v1/radar/early_fraud_warnings/{id}", EarlyFraudWarningRetrieveParams, retrieve),
]
