"""From cart to held seats and frozen prices: the lower half of placing an order."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import prefetch_related_objects

from enrollments.classes.waitlist import leave_to_buy
from enrollments.locks import lock_courses, lock_household
from enrollments.models import Course, Enrollment, EnrollmentStatus, Household
from enrollments.models.seats import seat_numbers_for_sale
from orders.cart import check_line
from orders.locks import lock_order
from orders.models import Order, OrderItem, OrderOrigin, OrderStatus
from orders.prices.promos import redeem
from orders.prices.quotes import Quote, quote
from orders.refusal import OrderRefused

MOST_UNPAID_HOLDS = 3
UNPAID_HOLDS_COUNT_FOR = timedelta(hours=24)


def hold_lines(
    *,
    order: Order,
    now: datetime.datetime,
    held_until: datetime.datetime,
    paid_children: Sequence[int],
    expected_cents: int | None = None,
) -> int:
    """Hold a seat for each line, freeze its price, and return the total in cents.

    Runs in the caller's transaction and takes the locks: household, courses by id, order. Raises OrderRefused
    (nothing written) if the cart is empty or gone, if a line can no longer be bought, or if the total is not
    the one that the parent saw.
    """
    assert transaction.get_connection().in_atomic_block
    household = lock_household(order.household_id)
    items = _locked_lines(order)
    lock_order(order.pk)
    order.refresh_from_db()
    order.household = household
    if order.status != OrderStatus.DRAFT:
        raise OrderRefused("This order has already been placed.")
    if not items:
        raise OrderRefused("Your cart is empty.")
    if order.origin == OrderOrigin.WAITLIST:
        _check_offers(items, now)
    else:
        for item in items:
            check_line(child=item.child, course=item.course, now=now)
        _check_unpaid_holds(items, household, now)
    prices = quote(order, items, now=now, paid_children=paid_children)
    if expected_cents not in {None, prices.total_cents}:
        raise OrderRefused("The price has changed since you saw it. Please check the new total.")
    if order.origin == OrderOrigin.WAITLIST:
        _take_offers(items, order, held_until)
    else:
        _hold_seats(items, held_until)
    _freeze(prices)
    redeem(order=order, items=items, household=household)
    return prices.total_cents


def _locked_lines(order: Order) -> list[OrderItem]:
    """The lines, each with its course, read under the course's row lock, and the course's sessions."""
    items = list(order.items.select_related("child").order_by("pk"))
    wanted = {item.course_id for item in items}
    courses = lock_courses(wanted)
    prefetch_related_objects(courses, "sessions")
    locked = {course.pk: course for course in courses}
    for item in items:
        item.course = locked[item.course_id]
    return items


def _check_unpaid_holds(items: list[OrderItem], household: Household, now: datetime.datetime) -> None:
    """A family that keeps ordering without paying would hold a seat from others forever."""
    unpaid = OrderItem.objects.filter(
        order__household=household,
        order__origin=OrderOrigin.CART,
        order__placed_at__gt=now - UNPAID_HOLDS_COUNT_FOR,
        enrollment__status=EnrollmentStatus.RELEASED,
    )
    orders = Counter(course for course, _ in unpaid.values_list("course", "order").distinct().order_by())
    for item in items:
        if orders[item.course_id] >= MOST_UNPAID_HOLDS:
            raise OrderRefused(
                f"You have ordered {item.course} {orders[item.course_id]} times today without paying. "
                "Please try again tomorrow, or call us."
            )


def _hold_seats(items: list[OrderItem], held_until: datetime.datetime) -> None:
    lines: dict[Course, list[OrderItem]] = defaultdict(list)
    for item in items:
        lines[item.course].append(item)
    for course, wanted in lines.items():
        numbers = seat_numbers_for_sale(course)
        if len(numbers) < len(wanted):
            raise OrderRefused(
                f"Places left in {course}: {len(numbers)}."
                if numbers
                else f"{course} is full. You can join the waitlist on the class page."
            )
        leave_to_buy(course, children=[item.child_id for item in wanted])
        for item, number in zip(wanted, numbers, strict=False):
            item.enrollment = Enrollment.objects.create(
                child=item.child,
                course=course,
                status=EnrollmentStatus.HELD,
                seat_number=number,
                expires_at=held_until,
            )


def _check_offers(items: list[OrderItem], now: datetime.datetime) -> None:
    """A place on the waitlist was checked when it joined; here only the offer must still be open."""
    for item in items:
        offered = item.enrollment
        assert offered is not None
        offered.refresh_from_db()
        if offered.status != EnrollmentStatus.OFFERED or offered.is_over(now):
            raise OrderRefused(f"The offer of a place in {item.course} has ended.")


def _take_offers(items: list[OrderItem], order: Order, held_until: datetime.datetime) -> None:
    for item in items:
        assert item.enrollment is not None
        item.enrollment.hold(until=held_until, by=None, reason=f"{order} is placed")


def _freeze(prices: Quote) -> None:
    items = []
    for line in prices.lines:
        item, price = line.item, line.price
        item.list_cents, item.net_cents = price.list_cents, price.net_cents
        item.begun_cents = price.begun_cents
        item.sibling_cents, item.promo_cents = price.sibling_cents, price.promo_cents
        item.explanation = price.explanation
        items.append(item)
    reductions = ["begun_cents", "sibling_cents", "promo_cents", "explanation"]
    OrderItem.objects.bulk_update(items, ["enrollment", "list_cents", *reductions, "net_cents"])
