"""Orders that hold their places while they wait for a payment: what every page of the family says of them."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpRequest
from django.utils import timezone

from billing.models import ChargeAttempt, Installment
from billing.models.charges import OPEN_CHARGE
from enrollments.models import Household
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


def held_orders(
    household: Household, *, confirming: Collection[str], now: datetime.datetime
) -> list[HeldOrder]:
    """The family's unpaid orders, the one that ends first before the others, in one statement. `confirming`
    are the public ids of those whose payment page the family came back from."""
    first = Installment.objects.filter(order=OuterRef("pk"), number=1)
    asked = ChargeAttempt.objects.on_saved_cards().filter(
        installment__order=OuterRef("pk"), status__in=OPEN_CHARGE
    )
    unpaid = household.orders.filter(status=OrderStatus.PLACED).order_by("held_until", "pk")
    rows = unpaid.annotate(due_cents=Subquery(first.values("amount_cents")), is_charged=Exists(asked))
    return [
        HeldOrder(
            order=order,
            due_cents=order.due_cents,  # type: ignore[attr-defined] # annotated
            is_charged=order.is_charged,  # type: ignore[attr-defined] # annotated
            is_confirming=str(order.public_id) in confirming,
            is_over=order.held_until is not None and order.held_until <= now,
        )
        for order in rows
    ]


def note_return(request: HttpRequest, thing: Order | Installment) -> None:
    """The family came back from its payment page. Only the first time counts: the page reloads itself."""
    request.session.setdefault(_RETURNED, {}).setdefault(str(thing.public_id), timezone.now().timestamp())
    request.session.modified = True


def confirming(request: HttpRequest) -> set[str]:
    """Public ids of what this visitor came back from the payment page of, within CONFIRMING."""
    earliest = (timezone.now() - CONFIRMING).timestamp()
    returned: Mapping[str, float] = request.session.get(_RETURNED, {})
    return {public_id for public_id, at in returned.items() if at > earliest}
