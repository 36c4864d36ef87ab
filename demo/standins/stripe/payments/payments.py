"""PaymentIntents and the charges made for them."""

from stripe.params import (
    ChargeListParams,
    ChargeRetrieveParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
)

from demo.standins.stripe.customers import payment_methods
from demo.standins.stripe.customers.cards import card_of
from demo.standins.stripe.customers.declines import PAYMENT_AUTHENTICATION_FAILED, Decline, coming_decline
from demo.standins.stripe.objects import books
from demo.standins.stripe.objects.resources import build, client_secret, filtered, list_answer, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, copied, new_id
from demo.standins.stripe.payments import balance, disputes, fraud_warnings
from demo.standins.stripe.webhooks.events import emit


def create_intent(state: State, call: Call, *, amount: int, currency: str, **values: object) -> Obj:
    intent_id = new_id("pi")
    secret = client_secret(intent_id)
    intent = build(
        state,
        "payment_intent",
        intent_id,
        **{"amount": amount, "currency": currency, "client_secret": secret, **values},
    )
    emit(state, call, "payment_intent.created", save(state, intent))
    return intent


def attempt(
    state: State,
    call: Call,
    intent: Obj,
    method: Obj,
    *,
    authenticated: bool = False,
    off_session: bool = False,
) -> None:
    """Try to collect with this card. `intent["status"]` says how it went."""
    decline = coming_decline(state, call, method, authenticated=authenticated)
    intent.update(payment_method=method["id"], next_action=None, last_payment_error=None)
    if decline is None:
        _succeed(state, call, intent, method)
    elif decline.code == "authentication_required" and not off_session:
        _ask_authentication(state, call, intent)
    else:
        _decline(state, call, intent, method, decline)


def authenticate(state: State, call: Call, intent: Obj, *, passed: bool) -> None:
    """The answer on the 3-D Secure page."""
    method = require(state, "payment_method", intent["payment_method"])
    if passed:
        attempt(state, call, intent, method, authenticated=True)
    else:
        _refuse(state, call, intent, method, PAYMENT_AUTHENTICATION_FAILED, charge_id=None)


def cancel(state: State, call: Call, intent: Obj, reason: str) -> None:
    intent.update(
        status="canceled", cancellation_reason=reason, canceled_at=state.store.now(), next_action=None
    )
    emit(state, call, "payment_intent.canceled", save(state, intent))


def _ask_authentication(state: State, call: Call, intent: Obj) -> None:
    sdk = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    intent.update(status="requires_action", next_action=sdk)
    emit(state, call, "payment_intent.requires_action", save(state, intent))


def _succeed(state: State, call: Call, intent: Obj, method: Obj) -> None:
    charge = _charge(state, intent, method, None)
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        last_payment_error=None,
    )
    if intent["setup_future_usage"] and intent["customer"]:
        payment_methods.keep_for_later(state, call, method, intent["customer"])
    emit(state, call, "charge.succeeded", charge)
    emit(state, call, "payment_intent.succeeded", save(state, intent))
    _book(state, charge)
    card = card_of(state, method)
    if card.is_suspected:
        fraud_warnings.warn(state, Call(), charge)
    if card.disputed:
        disputes.open_dispute(state, Call(), charge, status=card.disputed)


def _book(state: State, charge: Obj) -> None:
    """Stripe captures a moment later and reports its fee only then:
    https://docs.stripe.com/payments/payment-intents/asynchronous-capture"""
    fee_cents = round(charge["amount"] * 0.029) + 30
    move = balance.move(
        state, charge, charge["amount"], "charge", charge["description"] or "", fee_cents=fee_cents
    )
    charge["balance_transaction"] = move["id"]
    emit(state, Call(), "charge.updated", save(state, charge), previous={"balance_transaction": None})


def _decline(state: State, call: Call, intent: Obj, method: Obj, decline: Decline) -> None:
    charge = _charge(state, intent, method, decline)
    intent["latest_charge"] = charge["id"]
    emit(state, call, "charge.failed", charge)
    _refuse(state, call, intent, method, decline, charge_id=charge["id"])


def _refuse(
    state: State, call: Call, intent: Obj, method: Obj, decline: Decline, *, charge_id: str | None
) -> None:
    error = decline.as_error(charge=charge_id, payment_method=copied(method))
    intent.update(
        status="requires_payment_method", payment_method=None, next_action=None, last_payment_error=error
    )
    emit(state, call, "payment_intent.payment_failed", save(state, intent))


def _charge(state: State, intent: Obj, method: Obj, decline: Decline | None) -> Obj:
    charge = build(
        state,
        "charge",
        new_id("ch"),
        amount=intent["amount"],
        amount_captured=0 if decline else intent["amount"],
        billing_details=dict(method["billing_details"]),
        calculated_statement_descriptor="STAND-IN",
        captured=decline is None,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        failure_code=decline and decline.code,
        failure_message=decline and decline.message,
        metadata=dict(intent["metadata"]),
        outcome=_outcome(decline),
        paid=decline is None,
        payment_intent=intent["id"],
        payment_method=method["id"],
        status="failed" if decline else "succeeded",
    )
    _describe_card(charge, intent, method)
    books.record_charge(state.store, charge)
    return save(state, charge)


def _describe_card(charge: Obj, intent: Obj, method: Obj) -> None:
    details = charge["payment_method_details"]["card"]
    shared = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "wallet",
    )
    details |= copied({name: method["card"][name] for name in shared})
    details |= {"amount_authorized": intent["amount"], "installments": None, "three_d_secure": None}
    details["overcapture"]["maximum_amount_capturable"] = intent["amount"]


def _outcome(decline: Decline | None) -> Obj:
    return {
        "advice_code": decline and decline.advice_code,
        "network_advice_code": decline and decline.network_advice_code,
        "network_decline_code": decline and decline.network_decline_code,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": decline and (decline.decline_code or decline.code),
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank declined the payment." if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def retrieve_intent(state: State, call: Call, intent_id: str) -> Obj:
    return require(state, "payment_intent", intent_id)


def list_intents(state: State, call: Call) -> Obj:
    return list_answer(call, "/v1/payment_intents", filtered(state, call, "payment_intent", ["customer"]))


def retrieve_charge(state: State, call: Call, charge_id: str) -> Obj:
    return require(state, "charge", charge_id)


def list_charges(state: State, call: Call) -> Obj:
    rows = filtered(state, call, "charge", ["customer", "payment_intent"])
    return list_answer(call, "/v1/charges", rows)


ROUTES = [
    Route("GET", "/v1/payment_intents", PaymentIntentListParams, list_intents),
    Route("GET", "/v1/payment_intents/{id}", PaymentIntentRetrieveParams, retrieve_intent),
    Route("GET", "/v1/charges", ChargeListParams, list_charges),
    Route("GET", "/v1/charges/{id}", ChargeRetrieveParams, retrieve_charge),
]
