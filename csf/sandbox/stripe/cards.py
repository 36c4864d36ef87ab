"""Stripe's test cards, and what becomes of a charge on each."""

from dataclasses import dataclass

from csf.sandbox.stripe.resources import build, save
from csf.sandbox.stripe.state import Call, State
from csf.sandbox.stripe.store import Obj, new_id

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
BARE_CODES = frozenset(("expired_card", "incorrect_cvc", "incorrect_number", "processing_error"))
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


@dataclass(frozen=True)
class Decline:
    code: str
    decline_code: str | None
    advice_code: str | None
    message: str


@dataclass(frozen=True)
class Card:
    number: str
    label: str
    alias: str = ""
    decline: str | None = None
    authenticates: bool = False

    @property
    def spaced(self) -> str:
        return " ".join(self.number[start : start + 4] for start in range(0, 16, 4))


TEST_CARDS = (
    Card("4242424242424242", "Pays", "pm_card_visa"),
    Card("4000000000009995", "Insufficient funds", decline="insufficient_funds"),
    Card("4000000000000002", "Generic decline", "pm_card_chargeDeclined", decline="generic_decline"),
    Card("4000000000000341", "Saved, but declines", "pm_card_chargeCustomerFail", decline="generic_decline"),
    Card("4000000000009987", "Lost card", decline="lost_card"),
    Card("4000000000009979", "Stolen card", decline="stolen_card"),
    Card("4000000000000069", "Expired card", decline="expired_card"),
    Card("4000000000000127", "Incorrect CVC", decline="incorrect_cvc"),
    Card("4000000000000119", "Processing error", decline="processing_error"),
    Card("4000000000006975", "Too many tries", decline="card_velocity_exceeded"),
    Card("4000002760003184", "3-D Secure always", "pm_card_authenticationRequired", authenticates=True),
    Card("4000002500003155", "3-D Secure once", authenticates=True),
    Card("4000008260003178", "3-D Secure, then no funds", decline="insufficient_funds", authenticates=True),
    Card("4000000000005126", "Pays; a refund fails later"),
    Card("4000000000000259", "Pays, then is disputed"),
)
BY_NUMBER = {card.number: card for card in TEST_CARDS}
BY_ALIAS = {card.alias: card for card in TEST_CARDS if card.alias}


def find_card(text: str) -> Card | None:
    """By number, as typed, or by Stripe's alias."""
    return BY_ALIAS.get(text.strip()) or BY_NUMBER.get("".join(text.split()))


def decline_for(code: str) -> Decline:
    if code in BARE_CODES:
        outer, inner = code, None
    elif code == "authentication_required":
        outer, inner = code, code
    else:
        outer, inner = "card_declined", code
    return Decline(outer, inner, ADVICE.get(code), MESSAGES.get(code, "Your card was declined."))


def card_of(state: State, method: Obj) -> Card:
    """Which test card a payment method stands for: kept beside the object, as Stripe does not tell."""
    return BY_NUMBER[state.store.tables["card"][method["id"]]["number"]]


def new_payment_method(state: State, call: Call, card: Card, billing: Obj) -> Obj:
    method = build(state, "payment_method", new_id("pm"), billing_details=billing)
    method["card"] |= {
        "fingerprint": f"standin{card.number[-8:]}",
        "generated_from": None,
        "last4": card.number[-4:],
        "wallet": None,
    }
    state.store.put("card", method["id"], {"number": card.number})
    return save(state, method)
