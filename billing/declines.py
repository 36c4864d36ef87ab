"""Why a bank said no, in words for the parent: neutral ones, never "stolen" and never "fraud"."""

WORDS = {
    "insufficient_funds": "There was not enough money on the card.",
    "card_velocity_exceeded": "The card has reached its limit for now.",
    "withdrawal_count_limit_exceeded": "The card has reached its limit for now.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The card's security code was not right.",
    "incorrect_number": "The card number was not right.",
    "incorrect_zip": "The card's postal code was not right.",
    "card_not_supported": "This kind of card cannot be used here.",
    "currency_not_supported": "This card cannot pay in our currency.",
    "processing_error": "The bank could not work on the payment just then.",
    "authentication_required": "The bank asked for a confirmation that was not completed.",
    "payment_intent_authentication_failure": "The bank asked for a confirmation that was not completed.",
}
OTHERWISE = "The bank did not accept the payment."


def decline_words(code: str) -> str:
    return WORDS.get(code, OTHERWISE)
