"""The price of a cart as it would be placed today."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from enrollments.models import Enrollment, Household
from enrollments.overlaps import Overlap, overlaps
from orders.models import Order, OrderItem
from orders.pricing import Line, Price, price_lines
from orders.promos import promo_for


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


def quote(order: Order, items: Sequence[OrderItem], *, on: datetime.date) -> Quote:
    """Price the items of a cart; each brings its child and course with it."""
    prices = price_lines(
        [
            Line(item.pk, item.child_id, item.child.born_on, item.course_id, item.course.price_cents)
            for item in items
        ],
        enrolled=_enrolled_children(order.household_id),
        promo=promo_for(order, items, on=on),
    )
    return Quote([QuoteLine(item, prices[item.pk]) for item in items])


def overlaps_of(
    items: Sequence[OrderItem], *, household: Household, on: datetime.date
) -> list[tuple[OrderItem, Overlap]]:
    """Each line whose child has something else at that time, with what that is."""
    found = overlaps([(item.child_id, item.course) for item in items], household=household, on=on)
    return [(item, overlap) for item in items for overlap in found[item.child_id, item.course_id]]


def _enrolled_children(household_id: int) -> list[int]:
    """Children with a place, by their first one."""
    live = Enrollment.objects.enrolled().filter(child__household=household_id).order_by("pk")
    return list(dict.fromkeys(live.values_list("child_id", flat=True)))


def cart_lines(order: Order) -> list[OrderItem]:
    return list(order.items.select_related("child", "course__location", "course__program").order_by("pk"))
