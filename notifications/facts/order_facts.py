"""The newest fact of an order for each kind of email that hangs on one, to show what it would say now."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db import models
from django.db.models import QuerySet

from billing.models import (
    CancellationStatus,
    CancellationTransition,
)
from enrollments.models import EnrollmentTransition
from notifications.kinds import EmailKind
from notifications.registry import CONVERTED
from notifications.which import enrollment_kind
from orders.models import Order

Row = TypeVar("Row", bound=models.Model)
Find = Callable[[Order], Any]


def fact_of(kind: EmailKind, order: Order) -> Any:
    """None if the order has no such fact, or the kind hangs on no order."""
    find = FINDS.get(kind)
    return find(order) if find else None


def _newest(rows: QuerySet[Row], tells: Callable[[Row], bool]) -> Row | None:
    return next((row for row in rows.order_by("-pk") if tells(row)), None)


def _moved_enrollment(kind: EmailKind) -> Find:
    def find(order: Order) -> EnrollmentTransition | None:
        rows = EnrollmentTransition.objects.filter(enrollment__order_item__order=order)
        return _newest(rows.select_related("enrollment__course"), lambda fact: enrollment_kind(fact) == kind)

    return find


def _cancellation(order: Order) -> CancellationTransition | None:
    rows = CancellationTransition.objects.filter(cancellation__order=order)
    return rows.filter(to_status=CancellationStatus.SETTLED).order_by("-pk").first()


FINDS: Mapping[str, Find] = {
    EmailKind.ENROLLMENT_CONFIRMATION: _moved_enrollment(EmailKind.ENROLLMENT_CONFIRMATION),
    EmailKind.CANCELLATION_CONFIRMATION: _cancellation,
} | {kind: email.newest_fact for kind, email in CONVERTED.items() if email.hangs_on_orders}
