"""What a decline means: whether and when the same card may be charged again, and how to tell the parent.

The tables follow Stripe's list of decline codes and advice codes. The issuer's advice counts more than its
code; a code that is not listed counts as soft, with fewer tries.
"""

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeclineClass(models.TextChoices):
    SOFT = "soft", "may work another day"
    CARD = "card", "needs another card, or corrected details"
    HARD = "hard", "never charge this card again"
    AUTHENTICATION = "authentication", "the bank needs the parent to confirm"
    LOOK = "look", "staff review it first"
    UNLISTED = "unlisted", "an unknown reason"


_CODES = {
    DeclineClass.SOFT: """
        insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded generic_decline do_not_honor
        call_issuer no_action_taken try_again_later issuer_not_available processing_error reenter_transaction
        approve_with_id card_declined
    """,
    DeclineClass.CARD: """
        expired_card incorrect_number invalid_account incorrect_cvc card_not_supported currency_not_supported
        new_account_information_available invalid_number invalid_cvc invalid_expiry_month invalid_expiry_year
        incorrect_zip
    """,
    DeclineClass.HARD: """
        lost_card stolen_card pickup_card restricted_card fraudulent merchant_blacklist
        revocation_of_authorization revocation_of_all_authorizations stop_payment_order
        transaction_not_allowed service_not_allowed security_violation do_not_try_again """,
    DeclineClass.AUTHENTICATION: """
        authentication_required invoice_payment_intent_requires_action payment_intent_authentication_failure
    """,
    DeclineClass.LOOK: "duplicate_transaction",
}
CARD_GONE_CODE = "card_gone"  # ours, not the bank's: Stripe no longer has the card
CLASS_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
CLASS_BY_CODE[CARD_GONE_CODE] = DeclineClass.CARD
CLASS_BY_ADVICE = {
    "do_not_try_again": DeclineClass.HARD,
    "confirm_card_data": DeclineClass.CARD,
    "try_again_later": DeclineClass.SOFT,
}
# Mastercard's advice: 01 new card data, 03 and 21 never again, 24 to 30 not before so many days.
CLASS_BY_NETWORK_ADVICE = {"01": DeclineClass.CARD, "03": DeclineClass.HARD, "21": DeclineClass.HARD}
WAIT_DAYS_BY_NETWORK_ADVICE = {"24": 1, "25": 1, "26": 2, "27": 4, "28": 6, "29": 8, "30": 10}

WORDS = {
    "insufficient_funds": _("The card did not have enough funds."),
    "card_velocity_exceeded": _("The card has reached its limit for now."),
    "withdrawal_count_limit_exceeded": _("The card has reached its limit for now."),
    "expired_card": _("The card has expired."),
    CARD_GONE_CODE: _("The card is no longer saved with our payment provider, so we could not charge it."),
    "incorrect_cvc": _("The card's security code was incorrect."),
    "incorrect_number": _("The card number was incorrect."),
    "incorrect_zip": _("The card's postal code was incorrect."),
    "card_not_supported": _("This type of card cannot be used here."),
    "currency_not_supported": _("This card does not support our currency."),
    "processing_error": _("The bank could not process the payment at that moment."),
}
ASKED_FOR_THE_PARENT = _("The bank asked for a confirmation that was not completed.")
OTHERWISE = _("The bank declined the payment.")


@dataclass(frozen=True)
class Decline:
    """A decline as Stripe reports it. Every string is possible; none of them may break anything."""

    code: str = ""
    decline_code: str = ""
    advice_code: str = ""
    network_advice_code: str = ""
    charge_id: str = ""

    @property
    def reason(self) -> str:
        """The most specific of the codes."""
        return (self.decline_code or self.code)[:100]

    @property
    def kind(self) -> DeclineClass:
        advised = CLASS_BY_ADVICE.get(self.advice_code) or CLASS_BY_NETWORK_ADVICE.get(
            self.network_advice_code
        )
        by_code = CLASS_BY_CODE.get(self.decline_code or self.code)
        # "Later" does not soften what is hard, and nobody but the parent can authenticate.
        if by_code in {DeclineClass.HARD, DeclineClass.AUTHENTICATION} and advised == DeclineClass.SOFT:
            return by_code
        return advised or by_code or DeclineClass.UNLISTED

    @property
    def wait_days(self) -> int:
        """Days for which the network wants no further try."""
        return WAIT_DAYS_BY_NETWORK_ADVICE.get(self.network_advice_code, 0)


def decline_of(error: Any) -> Decline:
    """From Stripe's error object or a PaymentIntent's `last_payment_error`."""
    names = ("code", "decline_code", "advice_code", "network_advice_code")
    charge = error.get("charge") or (error.get("payment_intent") or {}).get("latest_charge")
    return Decline(*(_storable(by_code) for by_code in [*map(error.get, names), charge]))


def _storable(text: Any) -> str:
    """Without what PostgreSQL cannot store: a decline that cannot be written would be fetched again and
    again."""
    return "".join(letter for letter in str(text or "") if letter.isprintable())[:255]


def decline_words(reason: str) -> str:
    """The reason for the parent, in neutral words: never "stolen" and never "fraud"."""
    if CLASS_BY_CODE.get(reason) == DeclineClass.AUTHENTICATION:
        return str(ASKED_FOR_THE_PARENT)
    return str(WORDS.get(reason, OTHERWISE))
