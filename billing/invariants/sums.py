"""What the rows of an order add up to, for all orders or for those that were touched lately."""

from datetime import datetime
from typing import Any

from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.models import (
    Cancellation,
    CancellationTransition,
    Credit,
    CreditCause,
    Installment,
    InstallmentNote,
    InstallmentTransition,
    Payment,
    Refund,
    RefundTransition,
    Transfer,
)
from csf.proofs.invariants import last_before
from orders.models import Order, OrderTransition

# All that can change what an order owes or has paid leaves a row in one of these.
TRACES: list[tuple[Any, str]] = [
    (OrderTransition, "order"),
    (Installment, "order"),
    (InstallmentTransition, "installment__order"),
    (InstallmentNote, "installment__order"),
    (Payment, "order"),
    (Refund, "order"),
    (RefundTransition, "refund__order"),
    (Credit, "order"),
    (Cancellation, "order"),
    (CancellationTransition, "cancellation__order"),
    (Transfer, "order"),
]


def touched_orders(since: datetime | None) -> Q:
    """A condition for orders; without `since` all."""
    if since is None:
        return Q()
    ids: set[int] = set()
    for model, order in TRACES:
        written = model.objects.filter(pk__gt=last_before(model, since))
        ids |= set(written.order_by().values_list(order, flat=True))
    return Q(pk__in=ids)


def of_order(rows: Any, cents: Any = "amount_cents") -> Coalesce:
    """The sum over these rows of an order, as an annotation; a join would count rows twice."""
    sums = rows.filter(order=OuterRef("pk")).order_by().values("order").annotate(sum=Sum(cents))
    return Coalesce(Subquery(sums.values("sum")), 0)


def settled_orders(since: datetime | None) -> Any:
    """Orders that left the cart and whose money is settled, with their sums."""
    spent = Credit.objects.filter(cause__in=[CreditCause.SPENT, CreditCause.RETURNED])
    given = Credit.objects.filter(cause__in=[CreditCause.CANCELLATION, CreditCause.TRANSFER])
    waiting = Cancellation.objects.waiting().values("order")
    return (
        Order.objects.placed()
        .order_by("pk")
        .filter(touched_orders(since))
        .exclude(pk__in=waiting)
        .annotate(
            planned_cents=of_order(Installment.objects.exclude(status="cancelled")),
            paid_cents=of_order(Payment.objects.all()),
            spent_cents=of_order(spent, -F("amount_cents")),
            given_cents=of_order(given),
            back_cents=of_order(Refund.objects.all()),
            value_cents=of_order(Cancellation.objects.all(), "value_cents"),
            stopped_cents=of_order(Cancellation.objects.all(), "stopped_cents")
            + of_order(Transfer.objects.all(), "stopped_cents"),
            moved_cents=of_order(Transfer.objects.all(), "difference_cents"),
            added_cents=of_order(Transfer.objects.filter(difference_cents__gt=0), "difference_cents"),
        )
    )
