"""What staff may do about all charges of an order."""

from dataclasses import dataclass
from typing import Any, Self

from django.shortcuts import get_object_or_404

from billing.installments.pause import pause_charges, resume_charges
from billing.models import Dispute, InstallmentStatus
from csf.money import money_text
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.templatetags.csf_format import moment
from orders.models import Order, OrderStatus


@dataclass(frozen=True)
class ChargesFacts:
    """An order, and what of it is still to be charged."""

    row: Order
    open_cents: int

    @classmethod
    def of(cls, pk: int) -> Self:
        order = get_object_or_404(Order.objects.select_related("household"), pk=pk)
        parts = order.installments.open().exclude(status=InstallmentStatus.PAID)
        return cls(order, sum(part.amount_cents for part in parts))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.charges_paused_at)

    @property
    def words(self) -> dict[str, Any]:
        return {"amount": money_text(self.open_cents)}

    def panel(self) -> Panel:
        paused = self.row.charges_paused_at
        disputes = Dispute.objects.filter(payment__order=self.row, closed_at=None).count()
        row = [
            link(self.row),
            link(self.row.household),
            money_text(self.open_cents),
            moment(paused) if paused else "no",
            disputes or "none",
        ]
        return Panel("", ["Order", "Family", "Left to charge", "Paused since", "Open disputes"], [row])


def _is_alive(facts: ChargesFacts) -> bool:
    return facts.row.status == OrderStatus.CONFIRMED and facts.open_cents > 0


CHARGES_ACTIONS = Actions(
    Order,
    ChargesFacts.of,
    [
        Action(
            name="pause",
            title="Pause all charges",
            permission="billing.hold_installment",
            argument="order",
            act=pause_charges,
            is_possible=lambda facts: _is_alive(facts) and not facts.row.charges_paused_at,
            confirm="Pause the charges of {amount}",
            meaning=(
                "Nothing in this order is charged automatically, and no reminders are sent, until "
                "someone resumes the charges. The family can still pay each installment itself."
            ),
            done="The charges of this order are paused.",
        ),
        Action(
            name="resume",
            title="Resume charges",
            permission="billing.hold_installment",
            argument="order",
            act=resume_charges,
            is_possible=lambda facts: bool(facts.row.charges_paused_at),
            confirm="Resume the charges of {amount}",
            meaning="The next run charges what is due. Anything more than 3 days late is left to staff.",
            done="The charges of this order have been resumed.",
        ),
    ],
)
