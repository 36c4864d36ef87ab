"""Promo codes: whether one applies, and taking and giving back its uses under limits that the database
keeps."""

import datetime
from collections.abc import Iterable

from django.db import IntegrityError, transaction

from enrollments.models import Household
from orders.models import Order, OrderItem, PromoCode, PromoRedemption, PromoUse
from orders.prices.pricing import Promo
from orders.refusal import OrderRefused

NOT_VALID = "This code is not valid."


def find_code(text: str, *, on: datetime.date) -> PromoCode:
    """The code as typed, in any case. Raises OrderRefused."""
    found = PromoCode.objects.filter(code=text.strip().upper()).first()
    if found is None or not found.is_valid_on(on):
        raise OrderRefused(NOT_VALID)
    if _free_number(found) is None:
        raise OrderRefused("This code has reached its limit.")
    return found


def promo_for(order: Order, items: Iterable[OrderItem], *, on: datetime.date) -> Promo | None:
    """The order's code as it applies to its household today; None without one."""
    code = order.promo_code
    if code is None or not code.is_valid_on(on):
        return None
    used = set(
        PromoUse.objects.filter(promo_code=code, household=order.household_id).values_list(
            "course", flat=True
        )
    )
    courses = {
        item.course_id
        for item in items
        if item.course_id not in used and code.program_id in {None, item.course.program_id}
    }
    return Promo(code.code, code.percent_bps, code.amount_cents, frozenset(courses))


def redeem(*, order: Order, items: Iterable[OrderItem], household: Household) -> None:
    """Take the uses of the order's code for the lines that it reduced. Raises OrderRefused if it is used up.

    Runs in the transaction that places the order. The code's row lock makes the number certain; without it,
    the unique indexes would refuse a second use.
    """
    reduced = [item for item in items if item.promo_cents]
    if order.promo_code_id is None or not reduced:
        return
    code = PromoCode.objects.select_for_update(no_key=True).get(pk=order.promo_code_id)
    number = _free_number(code)
    if number is None:
        raise OrderRefused("The promo code has reached its limit. Remove it to continue.")
    redemption = PromoRedemption.objects.create(
        promo_code=code, order=order, number=number, limit=code.max_orders
    )
    PromoUse.objects.bulk_create(
        PromoUse(redemption=redemption, item=item, promo_code=code, household=household, course=item.course)
        for item in reduced
    )


def redeem_again(order: Order) -> bool:
    """Take the uses again that an order returned when it expired, because it was paid after all.

    False if no use is left for one of its reductions: then nothing is taken.
    """
    items = list(order.items.select_related("course").order_by("pk"))
    try:
        with transaction.atomic():
            redeem(order=order, items=items, household=order.household)
    except (OrderRefused, IntegrityError):  # used up, or used by the family for one of these classes since
        return False
    return True


def give_back(order: Order) -> None:
    """The order was never paid, or all of it was refunded, so its code may be used again."""
    PromoRedemption.objects.filter(order=order).delete()


def give_use_back(item: OrderItem) -> None:
    """The full price of a line was refunded: the family may use the code for this class again. The last line
    returns the order's use."""
    uses = PromoUse.objects.filter(item=item)
    if redemption := PromoRedemption.objects.filter(uses__in=uses).first():
        uses.delete()
        if not redemption.uses.exists():
            redemption.delete()


def _free_number(code: PromoCode) -> int | None:
    taken = set(code.redemptions.values_list("number", flat=True))
    last = code.max_orders if code.max_orders is not None else len(taken) + 1
    return next((number for number in range(1, last + 1) if number not in taken), None)
