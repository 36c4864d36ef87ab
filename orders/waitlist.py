"""An order for a seat that was offered from the waitlist: separate from the family's cart."""

import datetime
from collections.abc import Sequence

from django.conf import settings

from enrollments.models import Child, Course, Enrollment, WaitlistTier
from orders.models import Order, OrderItem, OrderOrigin
from orders.prices.quotes import Quote, quote


def waitlist_line(*, child: Child, course: Course, enrollment: Enrollment | None = None) -> OrderItem:
    """The one line of such an order; neither is written yet."""
    order = Order(household=child.household, origin=OrderOrigin.WAITLIST, currency=settings.CURRENCY)
    return OrderItem(order=order, child=child, course=course, enrollment=enrollment)


def write_line(line: OrderItem) -> Order:
    line.order.save()
    line.save()
    return line.order


def quote_of(line: OrderItem, *, now: datetime.datetime, paid_children: Sequence[int]) -> Quote:
    """The price as it would be now, with the family's discounts."""
    return quote(line.order, [line], now=now, paid_children=paid_children)


def is_promotion(order: Order) -> bool:
    """Placed by the system for the priority tier, to be paid by the saved card."""
    tiers = order.items.values_list("enrollment__tier", flat=True)
    return order.origin == OrderOrigin.WAITLIST and WaitlistTier.PRIORITY in tiers
