"""What staff may do on an installment's page: a table, with what each action asks and says."""

from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.shortcuts import get_object_or_404

from billing.admin.installment_forms import FoundForm, MoveForm, OfflineForm, SplitForm, TodayForm
from billing.installments import found_at_stripe, staff_actions
from billing.ledger.cards import card_that_pays
from billing.models import Card, Installment, InstallmentStatus
from billing.models.charges import OPEN_CHARGE
from billing.models.installments import CHARGEABLE
from csf import clock
from csf.money import money_text
from csf.staff.actions import Action, Actions
from csf.staff.columns import badge, link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.templatetags.csf_format import day
from enrollments.families.who_is_notified import who_is_notified
from orders.models import Order, OrderStatus

RECEIPT = "The family gets a receipt by email."


@dataclass(frozen=True)
class Facts:
    """An installment as staff see it before they decide."""

    part: Installment
    card: Card | None
    is_open: bool

    @classmethod
    def of(cls, pk: int) -> Self:
        part = get_object_or_404(Installment.objects.select_related("order__household"), pk=pk)
        return cls(
            part=part,
            card=card_that_pays(part.order, on=clock.today()),
            is_open=part.status in CHARGEABLE
            and part.order.status != OrderStatus.PLACED
            and not part.attempts.filter(status__in=OPEN_CHARGE).exists(),
        )

    @property
    def row(self) -> Installment:
        return self.part

    @property
    def words(self) -> dict[str, Any]:
        return {"amount": money_text(self.part.amount_cents), "card": self.card}

    @property
    def fingerprint(self) -> str:
        part = self.part
        return fingerprint_of(part.status, part.due_on, part.held_at, self.card and self.card.pk)

    def panel(self) -> Panel:
        part = self.part
        scheduled_on = part.due_on if part.status == InstallmentStatus.SCHEDULED else None
        next_try_on = None if part.held_at else part.next_try_on or scheduled_on
        row = [
            link(part.order.household),
            link(part.order, part.order.number),
            money_text(part.amount_cents),
            day(part.due_on),
            badge(part.status, part.get_status_display()),
            self.card,
            next_try_on and day(next_try_on),
        ]
        return Panel("", ["Family", "Order", "Amount", "Due", "Status", "Card", "Next try"], [row])


def is_open(facts: Facts) -> bool:
    return facts.is_open


def can_be_charged(facts: Facts) -> bool:
    stands = facts.part.order.status == OrderStatus.CONFIRMED
    return facts.is_open and stands and not facts.part.held_at and facts.card is not None


def can_be_held(facts: Facts) -> bool:
    return facts.is_open and not facts.part.held_at


def is_held(facts: Facts) -> bool:
    return facts.is_open and facts.part.held_at is not None


def can_be_split(facts: Facts) -> bool:
    return facts.is_open and facts.part.amount_cents >= 2 * settings.MINIMUM_CHARGE_CENTS


def is_unknown(facts: Facts) -> bool:
    return found_at_stripe.unknown_attempt(facts.part) is not None


def order_of(facts: Facts) -> Order:
    """Its page shows all parts, also those that took the place of this one."""
    return facts.part.order


def _action(*, permission: str, **options: Any) -> Action:
    options.setdefault("is_possible", is_open)
    return Action(permission=f"billing.{permission}_installment", argument="installment", **options)


ACTIONS = [
    _action(
        name="charged",
        title="Checked at Stripe: charged",
        permission="retry",
        act=found_at_stripe.record_charged,
        form=FoundForm,
        is_possible=is_unknown,
        confirm="Record the {amount} that Stripe received",
        meaning=(
            "For a charge whose outcome we do not know. We check with Stripe that what you found is right."
        ),
        done="The payment is recorded.",
        email=RECEIPT,
    ),
    _action(
        name="not_charged",
        title="Checked at Stripe: not charged",
        permission="retry",
        act=found_at_stripe.record_not_charged,
        is_possible=is_unknown,
        confirm="Record that {amount} was not charged",
        meaning=(
            "For a charge whose outcome we do not know. Its invoice is closed at Stripe, so no money can "
            "arrive later, and everything else is possible again."
        ),
        done="The charge is recorded as not made.",
    ),
    _action(
        name="charge",
        title="Charge now",
        permission="retry",
        act=staff_actions.retry_now,
        form=TodayForm,
        is_possible=can_be_charged,
        confirm="Charge {amount} to {card} now",
        meaning=(
            "Charges the family's saved card right away, whenever the next try is planned. Not possible "
            "before the date the family agreed to."
        ),
        done="The charge is being made. Its outcome appears here in a moment.",
        email="The family is told the outcome by email.",
    ),
    _action(
        name="offline",
        title="Record cash or check",
        permission="record_offline",
        act=staff_actions.record_offline,
        form=OfflineForm,
        confirm="Record cash or a check for {amount}",
        meaning="The family can no longer pay by card what you record here.",
        done="The payment is recorded.",
        email=RECEIPT,
        lands_on=order_of,
    ),
    _action(
        name="move",
        title="Move the date",
        permission="move",
        act=staff_actions.move_date,
        form=MoveForm,
        confirm="Move the due date of {amount}",
        meaning=(
            "The saved card is charged on the new date, and its tries start again from there. The date "
            "cannot be earlier than the one the family agreed to, but the family can pay early."
        ),
        done="The due date has been moved.",
    ),
    _action(
        name="split",
        title="Split",
        permission="move",
        act=staff_actions.split,
        form=SplitForm,
        is_possible=can_be_split,
        confirm="Split {amount} into two parts",
        meaning="Two new installments replace this one, which is cancelled.",
        done="Two new installments have replaced this one.",
        lands_on=order_of,
    ),
    _action(
        name="hold",
        title="Hold",
        permission="hold",
        act=staff_actions.hold,
        is_possible=can_be_held,
        confirm="Hold {amount}: no charges, no reminders",
        meaning="The card is not charged and no reminders are sent until someone releases it.",
        done="It is on hold.",
    ),
    _action(
        name="unhold",
        title="Release the hold",
        permission="hold",
        act=staff_actions.unhold,
        is_possible=is_held,
        confirm="Release {amount}: charge it when it is due",
        meaning="Charges and reminders resume. If it is already due, it is charged on the next day of tries.",
        done="It is no longer on hold.",
    ),
    _action(
        name="waive",
        title="Waive",
        permission="waive",
        act=staff_actions.waive,
        confirm="Waive {amount} for good",
        meaning=(
            "For money that is owed but that the school does not collect: the family keeps its place and "
            "does not pay this installment. If the money is no longer owed, cancel the installment "
            "instead."
        ),
        done="It has been waived.",
    ),
    _action(
        name="cancel",
        title="Cancel",
        permission="waive",
        act=staff_actions.cancel,
        confirm="Cancel the {amount} for good",
        meaning=(
            "For money that is no longer owed, such as an installment for a class that was cancelled. If "
            "the money is still owed and the school does not collect it, waive the installment instead."
        ),
        done="It has been cancelled.",
    ),
]
INSTALLMENT_ACTIONS = Actions(
    Installment,
    Facts.of,
    ACTIONS,
    notified=lambda installment, email: who_is_notified(installment.order.household, email=email),
)
