from collections.abc import Callable, Sequence

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing.pages.family_orders import HeldOrder, OpenOrders, open_orders


def family_orders(request: HttpRequest) -> dict[str, Callable[[], int | Sequence[HeldOrder]]]:
    """The size of the family's cart, and its orders that wait for their payment; looked up once, and only
    where a page shows one of them."""
    found: OpenOrders = SimpleLazyObject(lambda: open_orders(request))  # type: ignore[assignment] # stands for it
    return {"cart_size": lambda: found.cart_size, "held_orders": lambda: found.held}
