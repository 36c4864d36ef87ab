"""What a family owes, in the words of its pages: each installment with its state, sorted into due, upcoming
and paid."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Prefetch, prefetch_related_objects

from billing.installments.next_step import NextStep, Step, next_step
from billing.ledger.cards import Use
from billing.models import (
    Card,
    CardAgreement,
    ChargeAttempt,
    ChargeKind,
    Installment,
    InstallmentStatus,
)
from billing.models.cards import CARD_EXPIRED, CARD_GONE, CARD_OUTDATED, CARD_REFUSED, NO_CARD
from billing.models.installments import OPEN_INSTALLMENT
from csf.templatetags.csf_format import day
from orders.models import Order

SHOWN = [*OPEN_INSTALLMENT, InstallmentStatus.PAID]


@dataclass(frozen=True)
class State:
    """A badge (its words and its color), a sentence, and what the family can do."""

    label: str
    tone: str
    text: str
    can_pay: bool = False
    is_at_order: bool = False
    """It is paid with its order (`billing.pages.family_orders`)."""


@dataclass(frozen=True)
class Line:
    installment: Installment
    state: State


@dataclass(frozen=True)
class Statement:
    due: list[Line]
    coming: list[Line]
    paid: list[Line]

    @property
    def due_cents(self) -> int:
        return sum(line.installment.amount_cents for line in self.due)

    @property
    def balance_cents(self) -> int:
        return self.due_cents + sum(line.installment.amount_cents for line in self.coming)

    @property
    def is_overdue(self) -> bool:
        return any(line.state.tone == "overdue" for line in self.due)


def statement_of(orders: Iterable[Order], *, on: datetime.date) -> Statement:
    """Of these orders, which bring their installments with them."""
    parts = [part for order in orders for part in order.installments.all() if part.status in SHOWN]
    lines = lines_of(sorted(parts, key=lambda part: (part.due_on, part.order_id, part.number)), on=on)
    unpaid = [line for line in lines if line.installment.status != InstallmentStatus.PAID]
    return Statement(
        due=[line for line in unpaid if line.installment.due_on <= on],
        coming=[line for line in unpaid if line.installment.due_on > on],
        paid=[line for line in reversed(lines) if line.installment.status == InstallmentStatus.PAID],
    )


def _paying_card(installment: Installment) -> Card | None:
    """In Python: `lines_of` has read the agreements."""
    agreements = installment.order.card_agreements.all()
    return next((agreement.card for agreement in agreements if agreement.ended_at is None), None)


def lines_of(installments: Iterable[Installment], *, on: datetime.date) -> list[Line]:
    rows = list(installments)
    charging = [row.pk for row in rows if row.status == InstallmentStatus.CHARGING]
    pages = ChargeAttempt.objects.payable().filter(kind=ChargeKind.PAGE, installment__in=charging)
    on_page = set(pages.values_list("installment", flat=True)) if charging else set()
    current = CardAgreement.objects.current().select_related("card")
    unpaid = [row for row in rows if not row.is_settled]
    prefetch_related_objects(unpaid, Prefetch("order__card_agreements", current))
    return [_line(row, on=on, has_page=row.pk in on_page) for row in rows]


def _line(installment: Installment, *, on: datetime.date, has_page: bool) -> Line:
    card = None if installment.is_settled else _paying_card(installment)
    step = next_step(installment, card=card, on=on, has_page=has_page)
    return Line(installment, state_of(installment, step, on=on))


def state_of(installment: Installment, step: NextStep, *, on: datetime.date) -> State:
    """The next step in the words of a family's page."""
    match step.kind:
        case Step.WITH_ORDER:
            return State("Waiting for your payment", "placed", "", is_at_order=True)
        case Step.AFTER_FIRST:
            return State("Upcoming", "coming", "You can pay this once the first payment is made.")
        case Step.OVER:
            return _state_of_settled(installment)
        case Step.ON_PAGE:
            text = "You opened the payment page. If you have paid, it will show here soon. If not, pay now."
            return State("Payment started", "charging", text, can_pay=True)
        case Step.BEING_PAID:
            return State("Being charged", "charging", "Your card is being charged right now.")
    return _open_state(installment, step, on=on)


def _state_of_settled(installment: Installment) -> State:
    match installment.status:
        case InstallmentStatus.PAID:
            return State("Paid", "paid", "This installment is paid. Thank you!")
        case InstallmentStatus.WAIVED | InstallmentStatus.CANCELLED:
            label = installment.get_status_display().capitalize()
            return State(label, "over", "You do not need to pay this.")
    return State("Order closed", "over", "The order is closed. If you have a question, please ask us.")


def _open_state(installment: Installment, step: NextStep, *, on: datetime.date) -> State:
    late = "overdue" if installment.due_on < on else "warn"
    match installment.status:
        case InstallmentStatus.NEEDS_CARD:
            text = "Your card could not be charged. Please pay now, or change the card."
            return State("Needs another card", late, text, can_pay=True)
        case InstallmentStatus.NEEDS_AUTH:
            text = "Your bank wants you to confirm this payment. Please pay now."
            return State("Needs your confirmation", late, text, can_pay=True)
        case InstallmentStatus.EXHAUSTED:
            text = "We could not charge your card. Please pay now, or call us."
            return State("Could not be charged", late, text, can_pay=True)
        case InstallmentStatus.RETRY_WAIT:
            text = "It will no longer be charged automatically. Please pay now or add another card."
            if step.kind == Step.CHARGE and step.on:
                text = f"We will charge your card on {day(step.on)}. You can also pay now."
            return State("Overdue" if late == "overdue" else "We will try again", late, text, can_pay=True)
    if installment.due_on > on:
        return State("Upcoming", "coming", "", can_pay=True)
    if installment.due_on == on:
        return State("Due today", "warn", "", can_pay=True)
    return State("Overdue", "overdue", "Please pay now.", can_pay=True)


EXPIRES_SOON = timedelta(days=60)
_CARD_STATES = {
    NO_CARD: State(
        "No card", "overdue", "No card is saved for this, so nothing will be charged automatically."
    ),
    CARD_GONE: State(
        "No longer saved", "overdue", "This card was removed at Stripe, so we cannot charge it."
    ),
    CARD_REFUSED: State("Refused", "overdue", "Your bank refused this card, so we will not charge it again."),
    CARD_OUTDATED: State("Not accepted", "overdue", "Your bank asks you to use another card."),
    CARD_EXPIRED: State("Expired", "overdue", "We will no longer charge it."),
}


@dataclass(frozen=True)
class CardLine:
    use: Use
    state: State | None
    """None: all is well."""


def card_line(use: Use, *, on: datetime.date) -> CardLine:
    """A card of the family with what it pays, and what is wrong with it."""
    state = _CARD_STATES.get(use.why_not_charged(on))
    if state is None and use.card and use.card.expires_before(on + EXPIRES_SOON):
        state = State("Expires soon", "warn", "")
    return CardLine(use, state)
