"""From cart to held seats and frozen prices. `billing.checkout.place_order` is the door; this is its lower
half."""

import datetime
from collections import defaultdict

from django.db import transaction

from enrollments.models import Course, Enrollment, EnrollmentStatus, Household
from enrollments.models.seats import free_seat_numbers
from orders.cart import Refused, check_line
from orders.models import Order, OrderItem, OrderStatus


def hold_lines(*, order: Order, now: datetime.datetime, held_until: datetime.datetime) -> int:
    """Hold a seat for each line, freeze its price, and return the total in cents.

    Runs in the caller's transaction and takes the locks: household, courses by id, order. Raises Refused
    (nothing written) if the cart is empty or gone, or if a line can no longer be bought.
    """
    assert transaction.get_connection().in_atomic_block
    Household.objects.select_for_update(no_key=True).get(pk=order.household_id)
    items = list(order.items.select_related("child").order_by("course_id", "pk"))
    courses = {
        course.pk: course
        for course in Course.objects.select_for_update(no_key=True)
        .filter(pk__in={item.course_id for item in items})
        .order_by("pk")
    }
    order.refresh_from_db(from_queryset=Order.objects.select_for_update(no_key=True))
    if order.status != OrderStatus.DRAFT:
        raise Refused("This order was placed already.")
    if not items:
        raise Refused("Your cart is empty.")
    lines: dict[int, list[OrderItem]] = defaultdict(list)
    for item in items:
        check_line(child=item.child, course=courses[item.course_id], now=now)
        lines[item.course_id].append(item)
    for course_id, wanted in lines.items():
        _hold_seats(courses[course_id], wanted, held_until)
    return sum(item.net_cents or 0 for item in items)


def _hold_seats(course: Course, items: list[OrderItem], held_until: datetime.datetime) -> None:
    numbers = free_seat_numbers(course)
    if len(numbers) < len(items):
        left = f"only {len(numbers)} left" if numbers else "full"
        raise Refused(f"{course} is {left}.")
    for item, number in zip(items, numbers, strict=False):
        item.enrollment = Enrollment.objects.create(
            child=item.child,
            course=course,
            status=EnrollmentStatus.HELD,
            seat_number=number,
            expires_at=held_until,
        )
        item.list_cents = item.net_cents = course.price_cents
        item.save(update_fields=["enrollment", "list_cents", "net_cents"])
