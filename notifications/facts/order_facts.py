"""The newest fact of an order for each kind of email that hangs on one, to show what it would say now."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.db import models
from django.db.models import QuerySet

from billing.models import (
    CancellationStatus,
    CancellationTransition,
    ChargeAttemptTransition,
    ClosureLineTransition,
    RefundStatus,
    RefundTransition,
)
from csf import clock
from enrollments.models import EnrollmentTransition
from notifications.facts.closing import is_session_cancelled
from notifications.facts.due import OverdueInstallment, next_to_pay
from notifications.kinds import EmailKind
from notifications.registry import CONVERTED
from notifications.which import charge_kind, enrollment_kind, order_kind
from orders.models import Order

Row = TypeVar("Row", bound=models.Model)
Find = Callable[[Order], Any]
NO_STAGE = 0
LOOK_AHEAD_DAYS = 366


def fact_of(kind: EmailKind, order: Order) -> Any:
    """None if the order has no such fact, or the kind hangs on no order."""
    find = FINDS.get(kind)
    return find(order) if find else None


def _newest(rows: QuerySet[Row], tells: Callable[[Row], bool]) -> Row | None:
    return next((row for row in rows.order_by("-pk") if tells(row)), None)


def _moved_order(kind: EmailKind) -> Find:
    return lambda order: _newest(order.transitions.all(), lambda fact: order_kind(fact) == kind)


def _moved_enrollment(kind: EmailKind) -> Find:
    def find(order: Order) -> EnrollmentTransition | None:
        rows = EnrollmentTransition.objects.filter(enrollment__order_item__order=order)
        return _newest(rows.select_related("enrollment__course"), lambda fact: enrollment_kind(fact) == kind)

    return find


def _moved_charge(kind: EmailKind) -> Find:
    def find(order: Order) -> ChargeAttemptTransition | None:
        rows = ChargeAttemptTransition.objects.filter(chargeattempt__installment__order=order)
        return _newest(
            rows.select_related("chargeattempt__installment__order"), lambda fact: charge_kind(fact) == kind
        )

    return find


def _cancellation(order: Order) -> CancellationTransition | None:
    rows = CancellationTransition.objects.filter(cancellation__order=order)
    return rows.filter(to_status=CancellationStatus.SETTLED).order_by("-pk").first()


def _cancelled_session(order: Order) -> ClosureLineTransition | None:
    rows = ClosureLineTransition.objects.filter(closureline__enrollment__order_item__order=order)
    return _newest(
        rows.select_related("closureline__closure", "closureline__enrollment"), is_session_cancelled
    )


def _refund(status: RefundStatus) -> Find:
    def find(order: Order) -> RefundTransition | None:
        rows = RefundTransition.objects.filter(refund__order=order, to_status=status)
        return rows.order_by("-pk").first()

    return find


def _overdue(order: Order) -> OverdueInstallment | None:
    """As if it were overdue: at least for a day."""
    part = next_to_pay(order)
    if part is None:
        return None
    on = max(clock.today(), part.due_on + timedelta(days=1))
    return OverdueInstallment(part, on=on, stage_days=NO_STAGE)


FINDS: Mapping[str, Find] = {
    EmailKind.OVERDUE_NOTICE: _overdue,
    EmailKind.ENROLLMENT_CONFIRMATION: _moved_enrollment(EmailKind.ENROLLMENT_CONFIRMATION),
    EmailKind.CANCELLATION_CONFIRMATION: _cancellation,
    EmailKind.SESSION_CANCELLED: _cancelled_session,
    EmailKind.REFUND_ISSUED: _refund(RefundStatus.SUCCEEDED),
    EmailKind.REFUND_REJECTED: _refund(RefundStatus.REJECTED),
    EmailKind.TRANSFER_CONFIRMATION: lambda order: order.transfers.order_by("-pk").first(),
    EmailKind.WAITLIST_JOINED: _moved_enrollment(EmailKind.WAITLIST_JOINED),
    EmailKind.WAITLIST_OFFER: _moved_enrollment(EmailKind.WAITLIST_OFFER),
    EmailKind.WAITLIST_LAPSED: _moved_enrollment(EmailKind.WAITLIST_LAPSED),
    EmailKind.WAITLIST_PROMOTED: _moved_order(EmailKind.WAITLIST_PROMOTED),
    EmailKind.WAITLIST_CHARGE_FAILED: _moved_charge(EmailKind.WAITLIST_CHARGE_FAILED),
} | {kind: email.newest_fact for kind, email in CONVERTED.items() if email.hangs_on_orders}
