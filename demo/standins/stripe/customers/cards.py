"""Stripe's test cards, and the payment methods made of them."""

from dataclasses import dataclass
from typing import Literal

from demo.standins.stripe.objects.resources import build, save
from demo.standins.stripe.objects.state import State
from demo.standins.stripe.objects.store import Obj, new_id


@dataclass(frozen=True)
class Card:
    """`saves`: the bank agrees to keep the card though it declines each charge.

    `authenticates`: 3-D Secure until the card is set up for later payments, or always.
    """

    number: str
    label: str
    alias: str = ""
    decline: str | None = None
    saves: bool = False
    authenticates: Literal["", "once", "always"] = ""
    refund: Literal["", "pends", "fails"] = ""
    disputed: Literal["", "needs_response", "warning_needs_response"] = ""
    is_suspected: bool = False

    @property
    def spaced(self) -> str:
        return " ".join(self.number[start : start + 4] for start in range(0, 16, 4))

    @property
    def setup_decline(self) -> str | None:
        """Why the bank would not even keep the card."""
        return None if self.saves else self.decline


TEST_CARDS = (
    Card("4242424242424242", "Pays", "pm_card_visa"),
    Card("4000000000009995", "Insufficient funds", decline="insufficient_funds"),
    Card("4000000000000002", "Generic decline", "pm_card_chargeDeclined", decline="generic_decline"),
    Card(
        "4000000000000341",
        "Saved, but declines",
        "pm_card_chargeCustomerFail",
        decline="generic_decline",
        saves=True,
    ),
    Card("4000000000009987", "Lost card", decline="lost_card"),
    Card("4000000000009979", "Stolen card", decline="stolen_card"),
    Card("4000000000000069", "Expired card", decline="expired_card"),
    Card("4000000000000127", "Incorrect CVC", decline="incorrect_cvc"),
    Card("4000000000000119", "Processing error", decline="processing_error"),
    Card("4000000000006975", "Too many tries", decline="card_velocity_exceeded"),
    Card("4000002760003184", "3-D Secure always", "pm_card_authenticationRequired", authenticates="always"),
    Card("4000002500003155", "3-D Secure once", authenticates="once"),
    Card(
        "4000008260003178",
        "3-D Secure, then no funds",
        decline="insufficient_funds",
        saves=True,
        authenticates="once",
    ),
    Card("4000000000007726", "Pays; a refund waits", "pm_card_pendingRefund", refund="pends"),
    Card("4000000000005126", "Pays; a refund fails later", "pm_card_refundFail", refund="fails"),
    Card("4000000000000259", "Pays, then is disputed", "pm_card_createDispute", disputed="needs_response"),
    Card(
        "4000000000001976",
        "Pays, then its bank asks",
        "pm_card_createDisputeInquiry",
        disputed="warning_needs_response",
    ),
    Card("4000000000005423", "Pays; its bank warns", "pm_card_createIssuerFraudRecord", is_suspected=True),
)
BY_NUMBER = {card.number: card for card in TEST_CARDS}
BY_ALIAS = {card.alias: card for card in TEST_CARDS if card.alias}


def find_card(text: str) -> Card | None:
    """Look a card up by its number, as typed, or by Stripe's alias."""
    return BY_ALIAS.get(text.strip()) or BY_NUMBER.get("".join(text.split()))


def record_of(state: State, method: Obj) -> Obj:
    """What Stripe does not show of a payment method: its `number`, whether it is `set_up` or was `detached`,
    and the outcomes of its `next` charges."""
    return state.store.tables["card"][method["id"]]


def keep_record(state: State, method: Obj, **changes: object) -> None:
    state.store.put("card", method["id"], {**record_of(state, method), **changes})


def card_of(state: State, method: Obj) -> Card:
    return BY_NUMBER[record_of(state, method)["number"]]


def new_payment_method(state: State, card: Card, billing: Obj) -> Obj:
    method = build(state, "payment_method", new_id("pm"), billing_details=billing)
    method["card"] |= {"generated_from": None, "wallet": None}
    set_number(state, method, card)
    return save(state, method)


def set_number(state: State, method: Obj, card: Card) -> None:
    method["card"] |= {"fingerprint": f"standin{card.number[-8:]}", "last4": card.number[-4:]}
    known = state.store.get("card", method["id"]) or {}
    state.store.put("card", method["id"], {**known, "number": card.number})
