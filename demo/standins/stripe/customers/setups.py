"""SetupIntents: a card saved for later payments without a charge."""

from stripe.params import SetupIntentListParams, SetupIntentRetrieveParams

from demo.standins.stripe.customers import payment_methods
from demo.standins.stripe.customers.cards import card_of
from demo.standins.stripe.customers.declines import SETUP_AUTHENTICATION_FAILED, Decline, decline_for
from demo.standins.stripe.objects.resources import build, client_secret, filtered, list_answer, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, copied, new_id
from demo.standins.stripe.webhooks.events import emit


def create_intent(state: State, call: Call, *, customer: str | None, **values: object) -> Obj:
    intent_id = new_id("seti")
    secret = client_secret(intent_id)
    given = {"customer": customer, "client_secret": secret, **values}
    intent = build(state, "setup_intent", intent_id, **given)
    emit(state, call, "setup_intent.created", save(state, intent))
    return intent


def attempt(state: State, call: Call, intent: Obj, method: Obj) -> None:
    """Try to save this card. `intent["status"]` says how it went."""
    card = card_of(state, method)
    forced = state.faults.for_payment(call.path)
    code = forced.code if forced is not None else card.setup_decline
    intent.update(payment_method=method["id"], next_action=None, last_setup_error=None)
    if code is not None:
        _refuse(state, call, intent, method, decline_for(code))
    elif card.authenticates:
        sdk = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        intent.update(status="requires_action", next_action=sdk)
        emit(state, call, "setup_intent.requires_action", save(state, intent))
    else:
        _succeed(state, call, intent, method)


def authenticate(state: State, call: Call, intent: Obj, *, passed: bool) -> None:
    """The answer on the 3-D Secure page."""
    method = require(state, "payment_method", intent["payment_method"])
    if passed:
        _succeed(state, call, intent, method)
    else:
        _refuse(state, call, intent, method, SETUP_AUTHENTICATION_FAILED)


def cancel(state: State, call: Call, intent: Obj) -> None:
    intent.update(status="canceled", cancellation_reason="abandoned", next_action=None)
    emit(state, call, "setup_intent.canceled", save(state, intent))


def _succeed(state: State, call: Call, intent: Obj, method: Obj) -> None:
    intent.update(status="succeeded", next_action=None)
    payment_methods.keep_for_later(state, call, method, intent["customer"])
    emit(state, call, "setup_intent.succeeded", save(state, intent))


def _refuse(state: State, call: Call, intent: Obj, method: Obj, decline: Decline) -> None:
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=decline.as_error(payment_method=copied(method)),
    )
    emit(state, call, "setup_intent.setup_failed", save(state, intent))


def retrieve(state: State, call: Call, intent_id: str) -> Obj:
    return require(state, "setup_intent", intent_id, name="setupintent")


def list_all(state: State, call: Call) -> Obj:
    rows = filtered(state, call, "setup_intent", ["customer", "payment_method"])
    return list_answer(call, "/v1/setup_intents", rows)


ROUTES = [
    Route("GET", "/v1/setup_intents", SetupIntentListParams, list_all),
    Route("GET", "/v1/setup_intents/{id}", SetupIntentRetrieveParams, retrieve),
]
