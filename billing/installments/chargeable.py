"""Whether a saved card will be charged for an installment, and if not, why.

The daily jobs, tomorrow's run, reminders, the pages of parents and staff, and the waitlist all ask here.
"""

import datetime

from billing.ledger.cards import card_of
from billing.models import Card, Installment
from billing.models.cards import CARD_EXPIRED, CARD_GONE, CARD_OUTDATED, CARD_REFUSED, NO_CARD

HELD, PAUSED = "held by staff", "the charges of this order are paused"
STOPPED = {HELD, PAUSED}
NOT_AGREED = "no consent to later charges"
# Only the family can change these.
NEEDS_CARD = {NO_CARD, CARD_GONE, CARD_REFUSED, CARD_OUTDATED, CARD_EXPIRED}


def why_not_charged(installment: Installment, card: Card | None, *, on: datetime.date) -> str:
    """What stands in the way of a charge on that day to the card of its order; empty if nothing does."""
    if installment.held_at:
        return HELD
    if installment.order.charges_paused_at:
        return PAUSED
    if installment.consent_id is None:
        return NOT_AGREED
    return NO_CARD if card is None else card.why_not_charged(on)


def will_be_charged(installment: Installment, *, on: datetime.date) -> bool:
    """For one row; what reads many fetches their cards in one statement."""
    return not why_not_charged(installment, card_of(installment.order), on=on)
