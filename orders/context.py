from collections.abc import Callable

from django.http import HttpRequest

from orders.prices.pricing import sibling_rule


def discounts(request: HttpRequest) -> dict[str, Callable[[], str]]:
    return {"sibling_rule": sibling_rule}
