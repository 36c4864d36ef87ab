"""The money of an order, in figures that add up: price = paid - given back - refunds not made yet + open.

The price is that of the order as things stand, after moves, cancellations and waivers; what it was at placing
is `Order.total_cents`. What a bank took back after a dispute is the school's loss, and changes no price.
Every page that shows an order's money uses these.
"""

from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.ledger.reductions import CREDITED
from billing.models import Credit, CreditCause, Installment, Payment, Refund, RefundCause, RefundStatus
from billing.models.installments import OPEN_INSTALLMENT
from billing.models.refunds import COUNTED, GONE_BACK
from orders.models import Order

ON_ITS_WAY = [RefundStatus.APPROVED, RefundStatus.SENDING, RefundStatus.UNKNOWN]
PAID_WITH = [CreditCause.SPENT, CreditCause.RETURNED]
COLUMNS = {
    "price_cents": "Price",
    "paid_cents": "Paid",
    "back_cents": "Refunded",
    "pending_cents": "Refunds pending",
    "open_cents": "Left to pay",
}
"""For tables: these add up."""
NAMES = {
    "price_cents": "Price",
    "paid_cents": "Paid",
    "back_cents": "Refunded",
    "asked_cents": "Refund awaiting approval",
    "returning_cents": "Refund on its way",
    "lost_cents": "Taken back by the bank",
    "open_cents": "Left to pay",
    "loose_cents": "Overpaid",
}
ALWAYS_SHOWN = {"price_cents", "paid_cents", "open_cents"}


def with_figures(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Adds cents: `price_cents`, `paid_cents` (money, and credit that was spent), `back_cents` (refunds that
    were made, and credit), `pending_cents` (`asked_cents`, refunds to be approved, and `returning_cents`,
    refunds under way), `lost_cents` (of what was paid, what a bank took back), `open_cents` (still to pay),
    and `loose_cents` (money that fits no installment, and no refund of it is asked for)."""
    counted = {"payment__installment": None, "status__in": COUNTED}
    lost = {"payment__installment__isnull": False, "cause": RefundCause.DISPUTE}
    return (
        orders.annotate(
            paid_cents=_sum(Payment) - _sum(Credit, cause__in=PAID_WITH),
            lost_cents=_sum(Refund, status__in=GONE_BACK, **lost),
            asked_cents=_sum(Refund, status=RefundStatus.REQUESTED),
            returning_cents=_sum(Refund, status__in=ON_ITS_WAY),
            open_cents=_sum(Installment, status__in=OPEN_INSTALLMENT),
            loose_cents=_sum(Payment, installment=None) - _sum(Refund, **counted),
        )
        .annotate(
            back_cents=_sum(Refund, status__in=GONE_BACK)
            + _sum(Credit, cause__in=CREDITED)
            - F("lost_cents"),
            pending_cents=F("asked_cents") + F("returning_cents"),
        )
        .annotate(
            price_cents=F("paid_cents")
            - F("back_cents")
            - F("pending_cents")
            - F("loose_cents")
            + F("open_cents")
        )
    )


def figures_of(order: Any) -> dict[str, int]:
    """The figures of an order from `with_figures` by their names in words; without those that are nothing,
    but for the price, what is paid and what is open."""
    cents = {name: getattr(order, name) for name in NAMES}
    return {NAMES[name]: amount for name, amount in cents.items() if amount or name in ALWAYS_SHOWN}


def _sum(model: Any, **wanted: Any) -> Coalesce:
    """The sum of an order's rows by a subquery of its own: joins would multiply each other."""
    found = model.objects.filter(order=OuterRef("pk"), **wanted).order_by().values("order")
    return Coalesce(Subquery(found.annotate(sum=Sum("amount_cents")).values("sum")), 0)
