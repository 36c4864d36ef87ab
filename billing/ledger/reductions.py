"""How a smaller debt changes what is still charged and refunded for an order.

What a family no longer owes first reduces the open installments, from the last; the rest was already paid and
is returned: the way it was paid, or as credit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.models import (
    CancellationStatus,
    Credit,
    CreditCause,
    Installment,
    InstallmentStatus,
    Payment,
    Refund,
)
from billing.models.installments import CHARGEABLE
from enrollments.models import User
from orders.models import Order

CREDITED = [CreditCause.CANCELLATION, CreditCause.TRANSFER, CreditCause.SESSION]


@dataclass(frozen=True)
class InstallmentCut:
    """An installment that will be charged less; zero is not at all."""

    installment: Installment
    left_cents: int

    @property
    def stopped_cents(self) -> int:
        return self.installment.amount_cents - self.left_cents


@dataclass(frozen=True)
class Reduction:
    """What happens to an amount that is no longer owed."""

    cuts: list[InstallmentCut] = field(default_factory=list)
    refunds: list[tuple[Payment, int]] = field(default_factory=list)
    credit_cents: int = 0

    @property
    def stopped_cents(self) -> int:
        return sum(cut.stopped_cents for cut in self.cuts)

    @property
    def refund_cents(self) -> int:
        return sum(cents for _, cents in self.refunds)


def plan_reduction(order: Order, cents: int, *, as_credit: bool) -> Reduction:
    """What `cents` less to owe would change, as things stand; changes nothing.

    Never refunds more than was paid. Money that was paid with credit goes back as credit.
    """
    cuts = _cuts(order, cents)
    back_cents = cents - sum(cut.stopped_cents for cut in cuts) - _let_go_cents(order)
    back_cents = min(max(back_cents, 0), kept_cents(order))
    refunds = [] if as_credit else _spread(refundable(order), back_cents)
    return Reduction(cuts, refunds, back_cents - sum(part for _, part in refunds))


def apply_reduction(order: Order, found: Reduction, *, by: User | None, reason: str) -> None:
    """Reduce the installments. A reduced one is cancelled and a smaller one takes its date, because its
    invoice at Stripe, which the caller has voided, is for the whole amount."""
    for cut in found.cuts:
        cut.installment.cancel(by=by, reason=reason)
        if cut.left_cents:
            last = order.installments.order_by("-number").values_list("number", flat=True)[0]
            Installment.objects.create(
                order=order,
                number=last + 1,
                due_on=cut.installment.due_on,
                amount_cents=cut.left_cents,
                held_at=cut.installment.held_at,
                consent=cut.installment.consent,
            )


def refundable(order: Order) -> list[tuple[Payment, int]]:
    """The order's payments, newest first, each with the cents that can still go back."""
    payments = order.payments.annotate(back_cents=_counted()).order_by("-received_at", "-pk")
    rooms = [(payment, payment.amount_cents - payment.back_cents) for payment in payments]
    return [(payment, cents) for payment, cents in rooms if cents > 0]


def kept_cents(order: Order) -> int:
    """What the school still has of what the family paid for this order, credit included."""
    credits_ = Credit.objects.filter(order=order)
    spent_cents = -credits_.filter(cause__in=[CreditCause.SPENT, CreditCause.RETURNED]).balance_cents()
    given_cents = credits_.filter(cause__in=CREDITED).balance_cents()
    return max(sum(cents for _, cents in refundable(order)) + spent_cents - given_cents, 0)


def _counted() -> Coalesce:
    counted = Refund.objects.counted().filter(payment=OuterRef("pk")).order_by().values("payment")
    return Coalesce(Subquery(counted.annotate(sum=Sum("amount_cents")).values("sum")), 0)


def _cuts(order: Order, cents: int) -> list[InstallmentCut]:
    cuts = []
    for installment in order.installments.filter(status__in=CHARGEABLE).order_by("-due_on", "-number"):
        if cents <= 0:
            break
        left_cents = max(installment.amount_cents - cents, 0)
        if left_cents < settings.MINIMUM_CHARGE_CENTS:  # Stripe cannot charge so little
            left_cents = 0
        cuts.append(InstallmentCut(installment, left_cents))
        cents -= installment.amount_cents - left_cents
    return cuts


def _let_go_cents(order: Order) -> int:
    """What the school waived: nobody paid it, so it cannot come back. Less what it was met with before."""
    waived = order.installments.filter(status=InstallmentStatus.WAIVED)
    waived_cents = waived.aggregate(sum=Sum("amount_cents"))["sum"] or 0
    settled = order.cancellations.filter(status=CancellationStatus.SETTLED)
    met_cents = F("value_cents") - F("stopped_cents") - F("refund_cents") - F("credit_cents")
    return max(waived_cents - (settled.aggregate(sum=Sum(met_cents))["sum"] or 0), 0)


def _spread(rooms: Sequence[tuple[Payment, int]], cents: int) -> list[tuple[Payment, int]]:
    """Over the payments in their order, never more than each has left."""
    parts = []
    for payment, room_cents in rooms:
        part = min(room_cents, cents)
        if part:
            parts.append((payment, part))
            cents -= part
    return parts
