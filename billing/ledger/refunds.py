"""Refunds that are requested, and approved or rejected by a person.

The system approves refunds of money that arrived late or twice.
"""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from billing.ledger.credits import grant
from billing.ledger.reductions import kept_cents, refundable
from billing.models import (
    Cancellation,
    CreditCause,
    Dispute,
    Payment,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
)
from billing.models.installments import OWN_FAMILY
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.jobs.queue import enqueue
from csf.models import StaffTask
from csf.money import money_text
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.locks import lock_household
from enrollments.models import User
from orders.locks import lock_order
from orders.models import Order
from orders.prices import promos

HANDED_OVER = [RefundMethod.CASH, RefundMethod.CHECK, RefundMethod.OTHER]


def request_refund(
    *,
    payment: Payment,
    cents: int,
    cause: RefundCause,
    reason: str,
    by: User | None = None,
    cancellation: Cancellation | None = None,
    method: RefundMethod | None = None,
) -> Refund:
    """Request a refund of one payment, the way it was paid unless a method is given. Runs in the caller's
    transaction, under the order's lock.

    Raises NotPossible for more than is left of the payment.
    """
    assert transaction.get_connection().in_atomic_block
    rooms = {found.pk: room for found, room in refundable(payment.order)}
    if not 0 < cents <= rooms.get(payment.pk, 0):
        left = money_text(rooms.get(payment.pk, 0))
        raise NotPossible(f"{left} of this payment can still be refunded.")
    refund = Refund.objects.create(
        order=payment.order,
        payment=payment,
        cancellation=cancellation,
        amount_cents=cents,
        currency=payment.currency,
        method=method or payment.method,
        cause=cause,
        reason=reason[:300],
        requested_by=by,
        needs_second_person=_is_above_limit(payment.order, more_cents=cents),
    )
    StaffTask.open(MoneyTask.REFUND_TO_APPROVE, refund, f"{money_text(cents)}: {reason}"[:300])
    return refund


def _is_above_limit(order: Order, *, more_cents: int = 0) -> bool:
    """Whether the refunds of an order need two people: their sum counts, so slices do not get around it."""
    sum_cents = order.refunds.counted().aggregate(sum=Sum("amount_cents"))["sum"] or 0
    return bool(sum_cents + more_cents > settings.REFUND_TWO_PERSON_CENTS)


@again_after_deadlock
@transaction.atomic
def ask_for_refund(
    *, payment: Payment, cents: int, reason: str, by: User, method: RefundMethod | None = None
) -> Refund:
    """Staff ask for one outside of any cancellation. Raises NotPossible.

    Money goes back the way it came. Only once the card has not taken it, `method` may be another one.
    """
    if not reason.strip():
        raise NotPossible("Give a reason: it stays in the history.")
    lock_order(payment.order_id)
    if method not in {None, payment.method} and not has_failed_by_card(payment):
        raise NotPossible("Money is refunded the way it was paid, unless that has failed before.")
    return request_refund(
        payment=payment, cents=cents, cause=RefundCause.STAFF, reason=reason, by=by, method=method
    )


def has_failed_by_card(payment: Payment) -> bool:
    return payment.refunds.filter(status=RefundStatus.FAILED, method=RefundMethod.STRIPE).exists()


def refund_unmatched(payment: Payment) -> None:
    """Money that arrived too late or twice is refunded without waiting for a person; staff get a task.

    Runs in the transaction that records the payment.
    """
    reason = "arrived too late, or twice"
    refund = Refund.objects.create(
        order=payment.order,
        payment=payment,
        amount_cents=payment.amount_cents,
        currency=payment.currency,
        method=payment.method,
        cause=RefundCause.UNMATCHED,
        reason=reason,
    )
    approve_by_system(refund, reason=reason)


def approve_by_system(refund: Refund, *, reason: str) -> None:
    """Nobody has to approve it; staff get a task. Runs in the caller's transaction."""
    refund.transition_to(RefundStatus.APPROVED, reason=reason[:300])
    StaffTask.objects.about(refund).open().update(closed_at=Now())
    StaffTask.open(MoneyTask.REFUND_BY_SYSTEM, refund, f"{money_text(refund.amount_cents)}: {reason}")
    enqueue("billing.tasks.refund")


def is_within_rule(order: Order, *, more_cents: int = 0) -> bool:
    """Whether the refunds of an order, with `more_cents`, are few enough to be approved by rule."""
    sum_cents = order.refunds.counted().aggregate(sum=Sum("amount_cents"))["sum"] or 0
    limit_cents = min(settings.REFUND_BY_RULE_CENTS, settings.REFUND_TWO_PERSON_CENTS)
    return bool(sum_cents + more_cents <= limit_cents)


def approve_by_rule(refund: Refund) -> None:
    """Of a refund within the policy; above the owner's limit it stays with a person. Runs in the caller's
    transaction, under the order's lock."""
    is_disputed = Dispute.objects.undecided().filter(payment=refund.payment_id).exists()
    by_card = refund.method == RefundMethod.STRIPE
    if by_card and not is_disputed and is_within_rule(refund.order):
        limit = money_text(settings.REFUND_BY_RULE_CENTS)
        Refund.objects.filter(pk=refund.pk).update(is_by_rule=True)
        approve_by_system(refund, reason=f"by rule: within the policy, up to {limit} an order")


@again_after_deadlock
@transaction.atomic
def approve(*, refund: Refund, by: User, reason: str = "") -> None:
    """Approve the refund. Never for one's own family, and not by the person who requested it once the refunds
    of the order are above REFUND_TWO_PERSON_CENTS in sum. Raises NotPossible."""
    lock_household(refund.order.household_id)
    order = lock_order(refund.order_id)
    _refuse_own_family(refund, by)
    is_above = _is_above_limit(order)
    if is_above and refund.requested_by_id == by.pk:
        limit = money_text(settings.REFUND_TWO_PERSON_CENTS)
        raise NotPossible(
            f"Together, the refunds of this order are above {limit}: someone other than the person who "
            "requested it must approve it."
        )
    if refund.method == RefundMethod.CREDIT:
        _refuse_while_disputed(refund)
    _decide(refund, RefundStatus.APPROVED, by=by, reason=reason, needs_second_person=is_above, approved_by=by)
    if refund.method == RefundMethod.CREDIT:
        _give_as_credit(refund, by=by)
    enqueue("billing.tasks.refund")


def _give_as_credit(refund: Refund, *, by: User) -> None:
    grant(
        household=refund.order.household,
        cents=refund.amount_cents,
        cause=CreditCause.REFUND,
        reason=refund.reason,
        on=clock.today(),
        by=by,
        order=refund.order,
    )
    refund.transition_to(RefundStatus.SUCCEEDED, by=by, reason="given as credit")
    give_code_back(refund.order)


def _refuse_own_family(refund: Refund, by: User) -> None:
    if by.household_id == refund.order.household_id:
        raise NotPossible(OWN_FAMILY)


def _refuse_while_disputed(refund: Refund) -> None:
    if Dispute.objects.undecided().filter(payment=refund.payment_id).exists():
        raise NotPossible("The family's bank disputes this payment and may return the money itself.")


@transaction.atomic
def reject(*, refund: Refund, by: User, reason: str) -> None:
    """Reject the refund. Raises NotPossible."""
    if not reason.strip():
        raise NotPossible("Give a reason: the family may ask.")
    _decide(refund, RefundStatus.REJECTED, by=by, reason=reason)


def _decide(refund: Refund, to: RefundStatus, *, by: User, reason: str, **columns: Any) -> None:
    if refund.status != RefundStatus.REQUESTED:
        raise NotPossible("It has already been decided.")
    try:
        refund.transition_to(to, by=by, reason=reason[:300], **columns)
    except Stale as lost:
        raise NotPossible("It has already been decided.") from lost
    StaffTask.objects.about(refund).filter(kind=MoneyTask.REFUND_TO_APPROVE).close(by=by)


@transaction.atomic
def record_handed_over(*, refund: Refund, by: User, reason: str = "") -> None:
    """Cash or a check went back to the family. Raises NotPossible."""
    lock_order(refund.order_id)
    if refund.method not in HANDED_OVER:
        raise NotPossible(f"This money is refunded by {refund.get_method_display()}.")
    _refuse_own_family(refund, by)
    _refuse_while_disputed(refund)
    try:
        refund.transition_to(RefundStatus.SUCCEEDED, by=by, reason=f"handed over {reason}".strip()[:300])
        give_code_back(refund.order)
    except Stale as lost:
        raise NotPossible("It is not approved, or has already been handed over.") from lost


def give_code_back(order: Order) -> None:
    """Of an order whose whole price went back, with nothing still to be paid, the promo code may be used
    again."""
    if not kept_cents(order) and not order.installments.open().exists():
        promos.give_back(order)
