"""Holds that are over free their seats, once no payment page can take money for them any more."""

import datetime
import logging
from collections import Counter

from django.db import transaction

from billing.checkout import StripeUnavailable, close_payment_page
from billing.models import ChargeAttempt, Installment
from csf.contention import again_after_deadlock
from csf.state import Stale
from enrollments.models import User
from orders.models import Order, OrderStatus
from orders.release import release_order

logger = logging.getLogger(__name__)

AT_ONCE = 50


class Paid(Exception):
    """The money came while the order was being given up."""


def expire_holds(*, now: datetime.datetime) -> Counter[str]:
    """End up to AT_ONCE orders whose hold is over; says how many expired, were paid after all, or must
    wait."""
    outcomes: Counter[str] = Counter()
    for order in Order.objects.filter(status=OrderStatus.PLACED, held_until__lte=now).order_by("held_until")[
        :AT_ONCE
    ]:
        try:
            end_unpaid_order(order=order, to=OrderStatus.EXPIRED, reason="not paid in time")
            outcomes["expired"] += 1
        except Paid:
            outcomes["paid"] += 1
        except (StripeUnavailable, Stale) as error:
            logger.info("order %s is not expired yet: %r", order.pk, error)
            outcomes["waiting"] += 1
    return outcomes


@again_after_deadlock
def end_unpaid_order(*, order: Order, to: OrderStatus, by: User | None = None, reason: str) -> None:
    """Expire or cancel a placed order. Its payment page is closed at Stripe first, and seen closed.

    Raises Paid if it was paid meanwhile, StripeUnavailable if Stripe does not say, Stale if somebody else
    moved it.
    """
    close_payment_page(order)
    with transaction.atomic():
        order.refresh_from_db(from_queryset=Order.objects.select_for_update(no_key=True))
        if order.status == OrderStatus.CONFIRMED:
            raise Paid
        if ChargeAttempt.objects.payable().filter(installment__order=order).exists():
            raise Stale("a payment page was opened meanwhile")
        for installment in Installment.objects.open().filter(order=order):
            installment.cancel(by=by, reason=reason)
        release_order(order=order, to=to, by=by, reason=reason)
