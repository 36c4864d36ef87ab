"""The price of a cart as it would be placed today."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from csf.dates import local_date
from enrollments.classes.overlaps import Overlap, overlaps
from enrollments.models import Household
from orders.models import Order, OrderItem, OrderOrigin, OrderStatus
from orders.prices.pricing import Line, Price, price_lines
from orders.prices.promos import promo_for


@dataclass(frozen=True)
class QuoteLine:
    item: OrderItem
    price: Price


@dataclass(frozen=True)
class Quote:
    lines: list[QuoteLine]

    @property
    def list_cents(self) -> int:
        return sum(line.price.list_cents for line in self.lines)

    @property
    def total_cents(self) -> int:
        return sum(line.price.net_cents for line in self.lines)

    @property
    def discount_cents(self) -> int:
        return self.list_cents - self.total_cents

    @property
    def promo_cents(self) -> int:
        return sum(line.price.promo_cents for line in self.lines)


def quote(
    order: Order, items: Sequence[OrderItem], *, now: datetime.datetime, paid_children: Sequence[int]
) -> Quote:
    """Price the items of a cart; each has its child and course loaded.

    `paid_children` are the household's children whose places count for the sibling discount, by their first
    one; they come from `billing.checkout.siblings`.
    """
    lines = [_line(item, now=now) for item in items]
    promo = promo_for(order, items, on=local_date(now))
    prices = price_lines(lines, paid=paid_children, promo=promo)
    return Quote([QuoteLine(item, prices[item.pk]) for item in items])


def overlaps_of(
    items: Sequence[OrderItem], *, household: Household, on: datetime.date
) -> list[tuple[OrderItem, Overlap]]:
    """Each line whose child has something else at that time, with what that is."""
    found = overlaps([(item.child_id, item.course) for item in items], household=household, on=on)
    return [(item, overlap) for item in items for overlap in found[item.child_id, item.course_id]]


def _line(item: OrderItem, *, now: datetime.datetime) -> Line:
    course = item.course
    left, of = course.sessions_sold(now)
    return Line(
        item.pk,
        item.child_id,
        item.child.born_on,
        course.pk,
        course.price_cents,
        sessions_left=left,
        sessions=of,
    )


def lines_in_cart(household: Household) -> list[OrderItem]:
    """Those of the family's cart, each with the cart itself as its order."""
    cart = {"order__status": OrderStatus.DRAFT, "order__origin": OrderOrigin.CART}
    found = OrderItem.objects.filter(order__household=household, **cart)
    related = found.select_related("child", "course__location", "course__program", "order__promo_code")
    return list(related.prefetch_related("course__sessions").order_by("pk"))
