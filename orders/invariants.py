from typing import Any

from django.db.models import Exists, F, OuterRef, Q, Sum

from csf.invariants import Invariant, legal
from enrollments.models import Enrollment
from orders.models import Order, OrderItem, OrderStatus

PLACED = Order.objects.exclude(status=OrderStatus.DRAFT)


def _wrong_net() -> Any:
    right = F("list_cents") - F("begun_cents") - F("sibling_cents") - F("promo_cents")
    return OrderItem.objects.exclude(net_cents=None).exclude(net_cents=right).values_list("pk", flat=True)


def _wrong_total() -> Any:
    # A line that a child moved to has its own price; the order keeps what was agreed at placing.
    sums = PLACED.annotate(sum_cents=Sum("items__net_cents", filter=Q(items__moved_from=None)))
    return sums.exclude(total_cents=F("sum_cents")).values_list("pk", flat=True)


def _place_without_a_right() -> Any:
    confirmed = OrderItem.objects.filter(
        enrollment=OuterRef("pk"), order__status__in=["confirmed", "completed"]
    )
    active = Enrollment.objects.filter(status="active")
    return active.filter(~Exists(confirmed)).values_list("pk", flat=True)


def _strangers() -> Any:
    return OrderItem.objects.exclude(child__household=F("order__household")).values_list("pk", flat=True)


INVARIANTS = [
    Invariant("M2", "order lines whose price does not add up", _wrong_net),
    Invariant("M2", "orders whose total is not the sum of their lines", _wrong_total),
    Invariant("S6", "enrollments without a confirmed order", _place_without_a_right),
    Invariant("P1", "order lines for a child of another family", _strangers),
    Invariant("M13", "orders in a state that they cannot be in", *legal(Order, "draft")),
]
