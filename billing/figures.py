"""What an order comes to, in figures that add up: price = paid - given back - on its way back + open.

The price is that of the order as things stand, after moves, cancellations and waivers; what it was at placing
is `Order.total_cents`. Every page that shows money of an order takes these.
"""

from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.models import Credit, CreditCause, Installment, Payment, Refund
from billing.models.money import OPEN_INSTALLMENT
from billing.models.refunds import COUNTED, GONE_BACK
from billing.owed import CREDITED
from orders.models import Order

ON_ITS_WAY = [status for status in COUNTED if status not in GONE_BACK]
PAID_WITH = [CreditCause.SPENT, CreditCause.RETURNED]
NAMES = {
    "price_cents": "Price",
    "paid_cents": "Paid",
    "back_cents": "Given back",
    "returning_cents": "On its way back",
    "open_cents": "Open",
}


def with_figures(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Adds cents: `price_cents`, `paid_cents` (money, and credit that was spent), `back_cents` (refunds that
    were made, and credit), `returning_cents` (refunds asked for or under way), `open_cents` (still to pay),
    and `loose_cents` (money that fits no installment, and no refund of it is asked for)."""
    counted = {"payment__installment": None, "status__in": COUNTED}
    return orders.annotate(
        paid_cents=_sum(Payment) - _sum(Credit, cause__in=PAID_WITH),
        back_cents=_sum(Refund, status__in=GONE_BACK) + _sum(Credit, cause__in=CREDITED),
        returning_cents=_sum(Refund, status__in=ON_ITS_WAY),
        open_cents=_sum(Installment, status__in=OPEN_INSTALLMENT),
        loose_cents=_sum(Payment, installment=None) - _sum(Refund, **counted),
    ).annotate(
        price_cents=F("paid_cents")
        - F("back_cents")
        - F("returning_cents")
        - F("loose_cents")
        + F("open_cents")
    )


def figures_of(order: Any) -> dict[str, int]:
    """The figures of an order from `with_figures` by their names in words; without those that are nothing,
    but for the price, what is paid and what is open."""
    cents = {name: getattr(order, name) for name in NAMES}
    shown = {"price_cents", "paid_cents", "open_cents"}
    figures = {NAMES[name]: amount for name, amount in cents.items() if amount or name in shown}
    return figures | ({"Paid too much": order.loose_cents} if order.loose_cents else {})


def _sum(model: Any, **wanted: Any) -> Coalesce:
    """The sum of an order's rows by a subquery of its own: joins would multiply each other."""
    found = model.objects.filter(order=OuterRef("pk"), **wanted).order_by().values("order")
    return Coalesce(Subquery(found.annotate(sum=Sum("amount_cents")).values("sum")), 0)
