"""Freeing held seats, and taking them again when the payment arrives late."""

from collections import defaultdict

from django.db import transaction

from csf import clock
from enrollments.classes.waitlist import fill
from enrollments.models import Course, Enrollment, User
from enrollments.models.seats import seat_numbers_for_sale
from orders.models import Order, OrderStatus
from orders.prices.promos import give_back


def end_unpaid(*, order: Order, to: OrderStatus, by: User | None = None, reason: str) -> None:
    """End an order that nobody paid: its seats and its promo code are free again.

    Places waiting for a seat in its classes are offered one. Runs in the caller's transaction, under the
    locks of its classes and of the order. Raises Stale unless the order is placed.
    """
    assert transaction.get_connection().in_atomic_block
    for enrollment in Enrollment.objects.filter(order_item__order=order).order_by("pk"):
        enrollment.release(by=by, reason=reason)
    give_back(order)
    order.end(to, by=by, reason=reason)
    for course in Course.objects.filter(order_items__order=order).order_by("pk").distinct():
        fill(course, now=clock.now())


def seats_to_retake(order: Order) -> dict[int, int] | None:
    """A free seat number for each released enrollment of an expired order, by its id; None if one has no
    seat, or if its class is over or cancelled by now.

    Needs the row locks of all its courses.
    """
    today = clock.today()
    released = list(
        Enrollment.objects.filter(order_item__order=order).select_related("course").order_by("pk")
    )
    by_course: dict[Course, list[Enrollment]] = defaultdict(list)
    for enrollment in released:
        by_course[enrollment.course].append(enrollment)
    found: dict[int, int] = {}
    for course, enrollments in by_course.items():
        children = [enrollment.child_id for enrollment in enrollments]
        if course.cancelled_at or course.has_ended(today):
            return None
        numbers = seat_numbers_for_sale(course)
        if len(numbers) < len(enrollments) or course.enrollments.live().filter(child__in=children).exists():
            return None
        found |= {enrollment.pk: number for enrollment, number in zip(enrollments, numbers, strict=False)}
    return found
