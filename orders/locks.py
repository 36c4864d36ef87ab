"""Orders under their locks, after the family and the classes: see `enrollments.locks`."""

from django.db.models import QuerySet

from csf.database.row_locks import locked, locked_one
from enrollments.models import Course
from orders.models import Order


def lock_courses_of(order_id: int) -> list[Course]:
    """The classes of the order's lines. Before the order itself."""
    lines = Course.objects.filter(order_items__order=order_id)
    return locked(Course.objects.filter(pk__in=lines.values("pk")))


def lock_order(order_id: int) -> Order:
    return locked_one(Order.objects.all(), order_id)


def lock_order_of(enrollment_id: int) -> Order:
    [order] = locked(Order.objects.filter(items__enrollment=enrollment_id))
    return order


def lock_orders(orders: QuerySet[Order]) -> list[Order]:
    return locked(orders)
