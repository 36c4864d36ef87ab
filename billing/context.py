from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from billing.held import HeldOrder, confirming, held_orders
from enrollments.families import guardian


def held(request: HttpRequest) -> dict[str, Any]:
    """The family's orders that wait for their payment; looked up only where a page shows them."""

    def find() -> list[HeldOrder]:
        parent = guardian(request)
        if parent is None or parent.household is None:
            return []
        return held_orders(parent.household, confirming=confirming(request), now=timezone.now())

    return {"held_orders": SimpleLazyObject(find)}
