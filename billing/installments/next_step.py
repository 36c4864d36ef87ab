"""What happens to an installment next: one answer for the daily jobs, the workers that charge, the pages of
parents and staff, emails, and Tomorrow's run."""

import datetime
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from django.db.models import Exists, OuterRef, Q

from billing.ledger.cards import card_of
from billing.models import Card, ChargeAttempt, ChargeStatus, Installment, InstallmentStatus
from billing.models.cards import CARD_EXPIRED, CARD_GONE, CARD_OUTDATED, CARD_REFUSED, NO_CARD
from orders.models import OrderStatus

LATEST_FIRST_TRY = timedelta(days=3)
DECLINES_A_DAY = 3

HELD, PAUSED = "on hold", "the charges of this order are paused"
NOT_AGREED = "no consent to later charges"
CHANGING = "a class of this order was cancelled, and its payments are not settled yet"
TOO_LATE = "more than 3 days late: staff decide, because the consent names the date"
DECLINED_OFTEN = "three declines on this card today"
# Only the family can change these.
NEEDS_CARD = {NO_CARD, CARD_GONE, CARD_REFUSED, CARD_OUTDATED, CARD_EXPIRED}


class Step(Enum):
    CHARGE = "the saved card is charged on a date"
    WAIT = "it is charged automatically once the reason is gone"
    FAMILY = "the family pays, confirms or adds a card"
    STAFF = "staff decide; the family can pay"
    BEING_PAID = "a charge is in progress"
    ON_PAGE = "its payment page at Stripe is open, or was paid a moment ago"
    WITH_ORDER = "it is paid when the order is"
    AFTER_FIRST = "the first payment of the order comes before it"
    OVER = "nothing"


@dataclass(frozen=True)
class NextStep:
    kind: Step
    on: datetime.date | None = None
    """The local date of the charge, if no reason is against it."""
    reason: str = ""
    """Why no card is charged, or why a charge in progress should stop before it reaches the bank."""
    card_problem: str = ""
    """What is wrong with the card, whatever else there is."""

    @property
    def can_be_paid(self) -> bool:
        """By the family, on its own page."""
        return self.kind in {Step.CHARGE, Step.WAIT, Step.FAMILY, Step.STAFF, Step.ON_PAGE}


def next_step(
    installment: Installment,
    *,
    card: Card | None,
    on: datetime.date,
    has_page: bool = False,
    is_being_changed: bool = False,
    declines_today: int = 0,
) -> NextStep:
    """As things stand on that local date.

    `card` is the one agreed for the order. `has_page`: the installment has an open payment page of its own.
    `is_being_changed`: a cancellation in its order is not settled yet. Reads no rows but the installment and
    its order.
    """
    if fixed := _whatever_the_card(installment, has_page=has_page):
        if fixed not in {Step.BEING_PAID, Step.WITH_ORDER}:
            return NextStep(fixed)
        return NextStep(fixed, reason=_obstacle(installment, card, on, is_being_changed))
    charge_on = _charge_day(installment, on=on)
    problem = NO_CARD if card is None else card.why_not_charged(charge_on or on)
    reason = _obstacle(installment, card, charge_on or on, is_being_changed)
    if is_too_late(installment, on=on) and reason not in {HELD, PAUSED, CHANGING, NOT_AGREED}:
        reason = TOO_LATE
    if not reason and declines_today >= DECLINES_A_DAY:
        reason = DECLINED_OFTEN
    return NextStep(_kind(installment, reason), charge_on, reason, problem)


def next_step_of(installment: Installment, *, on: datetime.date) -> NextStep:
    """The same for one row, whose card is read here. What asks about many reads their cards at once."""
    return next_step(installment, card=card_of(installment.order), on=on)


def _whatever_the_card(installment: Installment, *, has_page: bool) -> Step | None:
    if installment.is_settled:
        return Step.OVER
    order = installment.order
    if order.status == OrderStatus.PLACED:
        return Step.WITH_ORDER if installment.number == 1 else Step.AFTER_FIRST
    if order.status != OrderStatus.CONFIRMED:
        return Step.OVER
    if installment.status == InstallmentStatus.CHARGING:
        return Step.ON_PAGE if has_page else Step.BEING_PAID
    return None


def _obstacle(installment: Installment, card: Card | None, on: datetime.date, is_being_changed: bool) -> str:
    """Why no card is charged on that day, in the order in which it matters to people."""
    if installment.held_at:
        return HELD
    if installment.order.charges_paused_at:
        return PAUSED
    if is_being_changed:
        return CHANGING
    if installment.consent_id is None:
        return NOT_AGREED
    return NO_CARD if card is None else card.why_not_charged(on)


def _kind(installment: Installment, reason: str) -> Step:
    if installment.status == InstallmentStatus.EXHAUSTED or reason == TOO_LATE:
        return Step.STAFF
    if installment.status in {InstallmentStatus.NEEDS_CARD, InstallmentStatus.NEEDS_AUTH}:
        return Step.FAMILY
    if reason in {*NEEDS_CARD, NOT_AGREED}:
        return Step.FAMILY
    return Step.WAIT if reason else Step.CHARGE


def is_too_late(installment: Installment, *, on: datetime.date) -> bool:
    """For a first try: the consent names the date."""
    return installment.status == InstallmentStatus.SCHEDULED and on - installment.due_on > LATEST_FIRST_TRY


def _charge_day(installment: Installment, *, on: datetime.date) -> datetime.date | None:
    match installment.status:
        case InstallmentStatus.SCHEDULED:
            return max(installment.due_on, on)
        case InstallmentStatus.RETRY_WAIT:
            return max(installment.next_try_on or on, on)
    return None


def charge_day_of_new_card(installment: Installment, *, on: datetime.date) -> datetime.date | None:
    """When a good card that is added today will be charged; None if only when the parent asks for it."""
    if _obstacle(installment, None, on, is_being_changed=False) != NO_CARD:
        return None
    if installment.status in {InstallmentStatus.NEEDS_CARD, InstallmentStatus.EXHAUSTED}:
        return max(installment.due_on, on + timedelta(days=1))
    return None if is_too_late(installment, on=on) else _charge_day(installment, on=on)


def waits_for_staff(on: datetime.date) -> Q:
    """Installments that no job charges any more: tried in vain, too late for a first try, or of unknown
    outcome."""
    is_late = Q(status=InstallmentStatus.SCHEDULED, due_on__lt=on - LATEST_FIRST_TRY)
    parked = ChargeAttempt.objects.filter(installment=OuterRef("pk"), status=ChargeStatus.PARKED)
    left = Q(status=InstallmentStatus.EXHAUSTED) | is_late | Q(Exists(parked))
    return left & Q(order__status=OrderStatus.CONFIRMED)
