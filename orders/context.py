from collections.abc import Callable

from django.http import HttpRequest

from enrollments.families import guardian
from orders.models import OrderItem, OrderStatus


def cart(request: HttpRequest) -> dict[str, Callable[[], int]]:
    """How many lines the family's cart has; counted only where a page shows it."""

    def cart_size() -> int:
        parent = guardian(request)
        if parent is None:
            return 0
        return OrderItem.objects.filter(
            order__household=parent.household_id, order__status=OrderStatus.DRAFT
        ).count()

    return {"cart_size": cart_size}
