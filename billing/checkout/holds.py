"""Holds that are over free their seats, once no payment page can take money for them any more."""

import datetime
import logging
from collections import Counter

from django.db import transaction

from billing.checkout.payment_page import close_payment_page
from billing.installments.attempts import ask_again
from billing.installments.invoices import open_attempts, void
from billing.ledger.credits import give_back
from billing.models import ChargeAttempt, Installment
from billing.stripe.page_calls import StripeUnavailable, asking_stripe
from csf.database.retry import again_after_deadlock
from csf.happened import happened
from csf.jobs.for_each import for_each
from csf.state import Stale
from enrollments.locks import lock_household
from enrollments.models import User
from orders.locks import lock_courses_of, lock_order
from orders.models import Order, OrderStatus
from orders.unpaid import end_unpaid

logger = logging.getLogger(__name__)

AT_ONCE = 50


class Paid(Exception):
    """The money arrived while the order was being cancelled."""


def expire_holds(*, now: datetime.datetime) -> Counter[str]:
    """End up to AT_ONCE orders whose hold is over; return how many expired, were paid after all, must wait,
    or failed."""
    outcomes: Counter[str] = Counter()
    # In any order: those that cannot be ended now must not block the others each time.
    over = Order.objects.filter(status=OrderStatus.PLACED, held_until__lte=now).order_by("?")

    def expire(order: Order) -> None:
        outcomes[_expire(order)] += 1

    if failed := for_each(over[:AT_ONCE], expire, doing="expiring an order").failed:
        outcomes["failed"] = failed
    return outcomes


def _expire(order: Order) -> str:
    try:
        with happened(at=order.held_until):
            end_unpaid_order(order=order, to=OrderStatus.EXPIRED, reason="not paid in time")
    except Paid:
        return "paid"
    except (StripeUnavailable, Stale) as error:
        logger.info("order %s is not expired yet: %r", order.pk, error)
        return "waiting"
    return "expired"


@again_after_deadlock
def end_unpaid_order(*, order: Order, to: OrderStatus, by: User | None = None, reason: str) -> None:
    """Expire or cancel a placed order. Its payment page is closed at Stripe first, and confirmed closed.

    Raises Paid if it was paid meanwhile, StripeUnavailable if Stripe does not say, Stale if someone else
    moved it.
    """
    close_payment_page(order)
    ask_again(order)
    _close_invoices(order)
    with transaction.atomic():
        lock_household(order.household_id)
        lock_courses_of(order.pk)
        lock_order(order.pk)
        order.refresh_from_db()
        if order.status == OrderStatus.CONFIRMED:
            raise Paid
        if ChargeAttempt.objects.payable().filter(installment__order=order).exists():
            raise Stale("a payment page was opened meanwhile")
        if open_attempts(order).exists():
            raise Stale("its card is being charged, or it is not known whether it was")
        for installment in Installment.objects.open().filter(order=order):
            installment.cancel(by=by, reason=reason)
        give_back(order)
        end_unpaid(order=order, to=to, by=by, reason=reason)


def _close_invoices(order: Order) -> None:
    """Of a saved card that was declined, unless one is being charged."""
    if open_attempts(order).exists():
        return
    for installment in Installment.objects.open().filter(order=order, stripe_invoice_id__isnull=False):
        with asking_stripe(order):
            void(installment)
