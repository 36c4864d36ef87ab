"""What every page of a family says about its orders: how much is in the cart, and which orders hold their
places while they wait for a payment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest

from billing.models import Installment
from billing.models.charges import ON_STRIPES_PAGES, OPEN_CHARGE
from csf import clock
from enrollments.families.signed_in import guardian
from orders.models import Order, OrderStatus

CONFIRMING = timedelta(minutes=5)
"""How long a family that came back from the payment page is asked for patience, and not for money."""
_RETURNED = "returned_from_payment"


@dataclass(frozen=True)
class HeldOrder:
    """`due_cents` is what is to be paid now. Only with `can_pay` there is a button: not while the saved card
    is charged, nor while the payment is being confirmed."""

    order: Order
    due_cents: int
    is_charged: bool
    is_confirming: bool
    is_over: bool

    @property
    def can_pay(self) -> bool:
        return not self.is_charged and not self.is_confirming


@dataclass(frozen=True)
class OpenOrders:
    """`cart_size` is the number of lines in the cart; of the held orders, the one that ends first comes
    first."""

    cart_size: int = 0
    held: Sequence[HeldOrder] = ()


_OPEN_ORDERS = """
SELECT o.*,
       first_part.amount_cents AS due_cents,
       (SELECT count(*) FROM orders_orderitem line WHERE line.order_id = o.id) AS size,
       EXISTS (
           SELECT FROM billing_chargeattempt attempt
           JOIN billing_installment part ON part.id = attempt.installment_id
           WHERE part.order_id = o.id AND attempt.status = ANY(%(open)s) AND attempt.kind <> ALL(%(on_pages)s)
       ) AS is_charged
FROM orders_order o
LEFT JOIN billing_installment first_part ON first_part.order_id = o.id AND first_part.number = 1
WHERE o.household_id = %(household)s AND o.status = ANY(%(statuses)s)
ORDER BY o.held_until, o.id
"""


def open_orders(request: HttpRequest) -> OpenOrders:
    """Those of the parent who is signed in, in one statement."""
    parent = guardian(request)
    if parent is None:
        return OpenOrders()
    values = {
        "household": parent.household_id,
        "statuses": [OrderStatus.DRAFT.value, OrderStatus.PLACED.value],
        "open": [status.value for status in OPEN_CHARGE],
        "on_pages": [kind.value for kind in ON_STRIPES_PAGES],
    }
    rows: Sequence[Any] = list(Order.objects.raw(_OPEN_ORDERS, values))
    returned, now = confirming(request), clock.now()
    return OpenOrders(
        cart_size=sum(row.size for row in rows if row.status == OrderStatus.DRAFT),
        held=[
            HeldOrder(
                order=row,
                due_cents=row.due_cents,
                is_charged=row.is_charged,
                is_confirming=str(row.public_id) in returned,
                is_over=row.held_until is not None and row.held_until <= now,
            )
            for row in rows
            if row.status == OrderStatus.PLACED
        ],
    )


def note_return(request: HttpRequest, thing: Order | Installment) -> None:
    """The family came back from its payment page. Only the first time counts: the page reloads itself."""
    request.session.setdefault(_RETURNED, {}).setdefault(str(thing.public_id), clock.now().timestamp())
    request.session.modified = True


def confirming(request: HttpRequest) -> set[str]:
    """Public ids of what this visitor came back from the payment page of, within CONFIRMING."""
    earliest = (clock.now() - CONFIRMING).timestamp()
    returned: Mapping[str, float] = request.session.get(_RETURNED, {})
    return {public_id for public_id, at in returned.items() if at > earliest}
