from collections.abc import Callable

from django.http import HttpRequest

from enrollments.families import guardian
from orders.models import OrderItem, OrderStatus
from orders.pricing import sibling_rule


def cart(request: HttpRequest) -> dict[str, Callable[[], int | str]]:
    """How many lines the family's cart has, counted only where a page shows it; and the sibling discount."""

    def cart_size() -> int:
        parent = guardian(request)
        if parent is None:
            return 0
        return OrderItem.objects.filter(
            order__household=parent.household_id, order__status=OrderStatus.DRAFT
        ).count()

    return {"cart_size": cart_size, "sibling_rule": sibling_rule}
