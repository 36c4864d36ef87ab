"""How the bank answers a charge: by a fault, by the script of a saved card, or by the test card itself."""

from dataclasses import dataclass
from typing import Any, get_args

from stripe import PaymentIntent

from demo.standins.stripe.customers.cards import card_of, keep_record, record_of
from demo.standins.stripe.objects.state import Call, State
from demo.standins.stripe.objects.store import Obj

MESSAGES = {
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "card_velocity_exceeded": "Your card was declined for making repeated attempts too frequently.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "insufficient_funds": "Your card has insufficient funds.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
# Declines that Stripe names in `code`, without a `decline_code`.
BARE_CODES = frozenset(
    (
        "expired_card",
        "incorrect_cvc",
        "incorrect_number",
        "incorrect_zip",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "payment_intent_authentication_failure",
        "processing_error",
    )
)
ADVICE = {
    "card_velocity_exceeded": "try_again_later",
    "expired_card": "confirm_card_data",
    "incorrect_cvc": "confirm_card_data",
    "incorrect_number": "confirm_card_data",
    "insufficient_funds": "try_again_later",
    "lost_card": "do_not_try_again",
    "processing_error": "try_again_later",
    "stolen_card": "do_not_try_again",
}
KNOWN_CODES: frozenset[str] = frozenset(
    get_args(get_args(PaymentIntent.LastPaymentError.__annotations__["code"])[0])
)
PAYS = "ok"


@dataclass(frozen=True)
class Decline:
    code: str
    decline_code: str | None = None
    advice_code: str | None = None
    message: str = "Your card was declined."
    network_advice_code: str | None = None
    network_decline_code: str | None = None

    def as_error(self, **more: object) -> Obj:
        """In the shape of an error answer and of `last_payment_error`, which omit unknown fields."""
        doc_url = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        error = {**vars(self), "doc_url": doc_url, "type": "card_error", **more}
        return {name: value for name, value in error.items() if value is not None}


def decline_for(code: str) -> Decline:
    if code in BARE_CODES:
        outer, inner = code, None
    elif code == "authentication_required":
        outer, inner = code, code
    else:
        outer, inner = "card_declined", code
    return Decline(outer, inner, ADVICE.get(code), MESSAGES.get(code, "Your card was declined."))


AUTHENTICATION_REQUIRED = decline_for("authentication_required")
PAYMENT_AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    message="The provided PaymentMethod has failed authentication. You can provide payment_method_data or a "
    "new PaymentMethod to attempt to fulfill this PaymentIntent again.",
)
SETUP_AUTHENTICATION_FAILED = Decline(
    "setup_intent_authentication_failure",
    message="The latest attempt to set up the payment method has failed because authentication failed.",
)


def coming_decline(state: State, call: Call, method: Obj, *, authenticated: bool) -> Decline | None:
    """The decline of the next charge, or None if it will succeed. Uses up one entry of the card's script."""
    forced = state.faults.for_payment(call.path)
    if forced is not None:
        return decline_for(forced.code)
    record = record_of(state, method)
    if record.get("next"):
        outcome, *later = record["next"]
        keep_record(state, method, next=later)
        return _scripted(outcome)
    card = card_of(state, method)
    waits = card.authenticates == "always" or (card.authenticates == "once" and not record.get("set_up"))
    if waits and not authenticated:
        return AUTHENTICATION_REQUIRED
    return decline_for(card.decline) if card.decline else None


def script(state: State, method: Obj, outcomes: list[Any]) -> None:
    """Decide the next charges on a saved card: "ok", a code, or the fields of a `Decline`."""
    for outcome in outcomes:
        decline = _scripted(outcome)
        if decline is not None and decline.code not in KNOWN_CODES:
            raise ValueError(f"the SDK knows no error code {decline.code!r}")
    keep_record(state, method, next=outcomes)


def _scripted(outcome: Any) -> Decline | None:
    if outcome == PAYS:
        return None
    return decline_for(outcome) if isinstance(outcome, str) else Decline(**outcome)
