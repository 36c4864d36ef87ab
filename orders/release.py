"""Giving held seats back, and taking them again when the money came late."""

from collections import defaultdict

from django.db import transaction

from enrollments.models import Course, Enrollment, User
from enrollments.models.seats import free_seat_numbers
from orders.models import Order, OrderStatus
from orders.promos import give_back


def release_order(*, order: Order, to: OrderStatus, by: User | None = None, reason: str) -> None:
    """End an order that nobody paid: its seats and its promo code are free again.

    Runs in the caller's transaction, under the order's lock. Raises Stale unless the order is placed.
    """
    assert transaction.get_connection().in_atomic_block
    for enrollment in Enrollment.objects.filter(order_item__order=order).order_by("pk"):
        enrollment.release(by=by, reason=reason)
    give_back(order)
    order.end(to, by=by, reason=reason)


def seats_again(order: Order) -> dict[int, int] | None:
    """A free seat number for each released enrollment of an expired order, by its id; None if one has no
    seat.

    Needs the row locks of all its courses.
    """
    released = list(
        Enrollment.objects.filter(order_item__order=order).select_related("course").order_by("pk")
    )
    by_course: dict[Course, list[Enrollment]] = defaultdict(list)
    for enrollment in released:
        by_course[enrollment.course].append(enrollment)
    found: dict[int, int] = {}
    for course, enrollments in by_course.items():
        children = [enrollment.child_id for enrollment in enrollments]
        numbers = free_seat_numbers(course)
        if len(numbers) < len(enrollments) or course.enrollments.live().filter(child__in=children).exists():
            return None
        found |= {enrollment.pk: number for enrollment, number in zip(enrollments, numbers, strict=False)}
    return found
