"""Cancelling a paid place: the preview, and the cancellation.

The seat is free at once and goes to the waitlist. The money follows in the same moment, unless a charge of
the order is in progress or Stripe does not confirm that its invoices are void: then a sweep settles it.
"""

import datetime
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from billing.checkout.payment_page import close_payment_page
from billing.installments.attempts import ask_again
from billing.installments.invoices import open_attempts, void
from billing.ledger.credits import give_for, grant
from billing.ledger.reductions import Reduction, apply_reduction, plan_reduction
from billing.ledger.refunds import approve_by_rule, approve_by_system, request_refund
from billing.models import (
    Cancellation,
    Closure,
    Credit,
    CreditCause,
    Installment,
    InstallmentStatus,
    RefundCause,
    Terms,
)
from billing.stripe import gateway
from billing.stripe.page_calls import StripeUnavailable
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.happened import happened
from csf.jobs.for_each import for_each
from csf.models import StaffTask
from csf.money import pro_rata_cents
from csf.staff.fingerprint import fingerprint_of
from csf.state import Stale
from enrollments.classes.waitlist import fill
from enrollments.locks import lock_course, lock_household_of
from enrollments.models import Enrollment, User
from orders.locks import lock_order_of
from orders.models import Order, OrderItem, OrderStatus
from orders.prices.promos import give_use_back

logger = logging.getLogger(__name__)

AT_ONCE = 50
REPORT_AFTER = timedelta(minutes=45)
UNDER_WAY = "A payment of this order is in progress, or its outcome is not known."
UNDECIDED = "The family's bank disputes a payment of this order, so no credit is given until it has decided."


class OutcomeChanged(Exception):
    """The result would now differ from what the person has seen."""


@dataclass(frozen=True)
class Outcome:
    """What cancelling a place means for the family's money."""

    item: OrderItem
    terms: Terms
    value_cents: int
    reduction: Reduction
    refund_until: datetime.date
    """The last day on which the full price goes back."""
    siblings: list[OrderItem]
    """Lines of other children of the order that keep their price."""
    sessions_left: int
    sessions: int
    charging: list[Installment]
    """A charge of these is under way: paid, it counts as paid; not paid, it stops like the others."""

    @property
    def fingerprint(self) -> str:
        """The figures that a person looked at before pressing the button."""
        cut = [(cut.installment.pk, cut.left_cents) for cut in self.reduction.cuts]
        refunds = [(payment.pk, cents) for payment, cents in self.reduction.refunds]
        charging = [part.pk for part in self.charging]
        sums = (self.value_cents, self.reduction.credit_cents)
        return fingerprint_of(str(self.terms), *sums, cut, refunds, charging)


def policy_terms(order: Order, *, now: datetime.datetime) -> Terms:
    """The full price until REFUND_DAYS after the order, counted to the request; then what is left of it.

    With REFUND_LESS_SESSIONS_HELD the sessions that were held by then are taken off the full price.
    """
    if local_date(now) > refund_until(order):
        return Terms.PRORATED
    return Terms.PRORATED_REFUND if settings.REFUND_LESS_SESSIONS_HELD else Terms.REFUND


def refund_until(order: Order) -> datetime.date:
    assert order.placed_at is not None
    return local_date(order.placed_at) + timedelta(days=settings.REFUND_DAYS)


def outcome_of(*, enrollment: Enrollment, now: datetime.datetime, terms: Terms | None = None) -> Outcome:
    """The result of cancelling this place now. The same for parents, staff and a whole class; it changes
    nothing. Without `terms` the policy decides."""
    item = OrderItem.objects.select_related("order", "child", "course", "enrollment").get(
        enrollment=enrollment
    )
    terms = terms or policy_terms(item.order, now=now)
    value_cents = value_left_cents(item, terms, now=now)
    left, of = _sessions_left(item, now=now)
    return Outcome(
        item=item,
        terms=terms,
        value_cents=value_cents,
        reduction=plan_reduction(item.order, value_cents, as_credit=terms.gives_credit),
        refund_until=refund_until(item.order),
        siblings=list(_siblings(item)),
        sessions_left=left,
        sessions=of,
        charging=list(item.order.installments.filter(status=InstallmentStatus.CHARGING)),
    )


def _siblings(item: OrderItem) -> Iterable[OrderItem]:
    others = item.order.items.exclude(child=item.child).filter(sibling_cents__gt=0)
    return others.filter(enrollment__in=Enrollment.objects.enrolled()).select_related("child", "course")


def value_left_cents(item: OrderItem, terms: Terms, *, now: datetime.datetime) -> int:
    """What the family would no longer owe for this line. Needs its enrollment and class."""
    price_cents = item.net_cents or 0
    given = Credit.objects.filter(closure_line__enrollment=item.enrollment).balance_cents()
    match terms:
        case Terms.NOTHING:
            return 0
        case Terms.PRORATED | Terms.PRORATED_REFUND:
            left, of = _sessions_left(item, now=now)
            return pro_rata_cents(max(price_cents - given, 0), left, of)
        case _:
            return max(price_cents - given, 0)


def _sessions_left(item: OrderItem, *, now: datetime.datetime) -> tuple[int, int]:
    return item.course.sessions_left(now, since=item.bought_at)


def cancel_enrollment(
    *,
    enrollment: Enrollment,
    by: User | None,
    reason: str,
    now: datetime.datetime,
    terms: Terms | None = None,
    fingerprint: str | None = None,
    closure: Closure | None = None,
) -> Cancellation:
    """Cancel an active place for good; the family gets its confirmation when the money is settled.

    `fingerprint` is that of the `Outcome` that was confirmed, `closure` the reason if the class does not take
    place. Raises Stale unless the enrollment is active, OutcomeChanged if the result would now differ. If
    Stripe does not answer, only the money is delayed.
    """
    cancellation = _free_the_seat(
        enrollment, by=by, reason=reason, now=now, terms=terms, fingerprint=fingerprint, closure=closure
    )
    try:
        ask_again(cancellation.order)
        settle_cancellation(cancellation)
    except (gateway.OutcomeUnknown, gateway.StripeRefused, Stale) as error:
        logger.info("cancellation %s is not settled yet: %r", cancellation.pk, error)
    cancellation.refresh_from_db()
    return cancellation


@again_after_deadlock
@transaction.atomic
def _free_the_seat(
    enrollment: Enrollment,
    *,
    by: User | None,
    reason: str,
    now: datetime.datetime,
    terms: Terms | None,
    fingerprint: str | None,
    closure: Closure | None,
) -> Cancellation:
    """The seat and, if nothing stands in the way, the money: in one transaction."""
    order = _lock(enrollment)
    enrollment.refresh_from_db()
    enrollment.cancel(by=by, reason=reason[:300])
    outcome = outcome_of(enrollment=enrollment, now=now, terms=terms)
    if fingerprint is not None and outcome.fingerprint != fingerprint:
        raise OutcomeChanged
    cancellation = Cancellation.objects.create(
        order=order,
        enrollment=enrollment,
        terms=outcome.terms,
        value_cents=outcome.value_cents,
        closure=closure,
        by=by,
        reason=reason[:300],
        requested_at=now,
    )
    if not _must_wait(order, cancellation) and not _payable_invoices(order, cancellation):
        _settle(cancellation, order)
    fill(enrollment.course, now=now)
    return cancellation


def _lock(enrollment: Enrollment) -> Order:
    """Family, class and order, in this order."""
    lock_household_of(enrollment.child_id)
    lock_course(enrollment.course_id)
    return lock_order_of(enrollment.pk)


def settle_waiting_cancellations() -> int:
    """Each minute: settle those that waited for a charge or for Stripe, and return how many were settled."""
    settled: list[int] = []

    def settle(cancellation: Cancellation) -> None:
        if _settle_if_possible(cancellation):
            settled.append(cancellation.pk)

    waiting = Cancellation.objects.waiting().order_by("?")[:AT_ONCE]
    for_each(waiting, settle, doing="settling a cancellation")
    return len(settled)


def _settle_if_possible(cancellation: Cancellation) -> bool:
    try:
        with happened(at=cancellation.created_at):
            is_settled = settle_cancellation(cancellation)
    except (gateway.OutcomeUnknown, gateway.StripeRefused, Stale) as error:
        logger.info("cancellation %s is not settled yet: %r", cancellation.pk, error)
        _report_if_late(cancellation, repr(error))
        return False
    if not is_settled:
        _report_if_late(cancellation, UNDECIDED if cancellation.waits_for_bank else UNDER_WAY)
    return is_settled


def _report_if_late(cancellation: Cancellation, why: str) -> None:
    if clock.now() - cancellation.created_at > REPORT_AFTER:
        StaffTask.open(MoneyTask.CANCELLATION_WAITING, cancellation, why)


def settle_cancellation(cancellation: Cancellation) -> bool:
    """Settle the money of a cancelled place; False while a charge of its order is in progress, or while the
    bank disputes what would become credit.

    Invoices that would shrink are voided at Stripe first, and confirmed void. Raises what the gateway raises.
    """
    cancellation.refresh_from_db()
    order = cancellation.order
    try:
        close_payment_page(order)  # what is no longer owed must not be paid meanwhile
    except StripeUnavailable:
        return False
    if cancellation not in Cancellation.objects.waiting() or _must_wait(order, cancellation):
        return False
    closed = {void(installment) for installment in _payable_invoices(order, cancellation)}
    return _settle_if_still_possible(cancellation, closed)


@again_after_deadlock
@transaction.atomic
def _settle_if_still_possible(cancellation: Cancellation, closed: set[str]) -> bool:
    """`closed` are the invoices that are confirmed void or paid."""
    order = _lock(cancellation.enrollment)
    cancellation.refresh_from_db()
    if cancellation not in Cancellation.objects.waiting() or _must_wait(order, cancellation):
        return False
    if {part.stripe_invoice_id for part in _payable_invoices(order, cancellation)} - closed:
        return False  # an invoice was made meanwhile
    _settle(cancellation, order)
    return True


def _must_wait(order: Order, cancellation: Cancellation) -> bool:
    return open_attempts(order).exists() or (
        cancellation.waits_for_bank and _found(order, cancellation).credit_cents > 0
    )


def _found(order: Order, cancellation: Cancellation) -> Reduction:
    return plan_reduction(order, cancellation.value_cents, as_credit=Terms(cancellation.terms).gives_credit)


def _is_policy(cancellation: Cancellation) -> bool:
    """Asked for in time, and not on terms that staff chose."""
    in_time = policy_terms(cancellation.order, now=cancellation.requested_at) == Terms.REFUND
    return in_time and cancellation.terms == Terms.REFUND


def _settle(cancellation: Cancellation, order: Order) -> None:
    """Under the locks of family, class and order. The last row triggers the email."""
    found = _found(order, cancellation)
    by, reason = cancellation.by, f"{cancellation.enrollment} was cancelled"
    apply_reduction(order, found, by=by, reason=reason[:300])
    for payment, cents in found.refunds:
        refund = request_refund(
            payment=payment,
            cents=cents,
            cause=RefundCause.CANCELLATION if by else RefundCause.TAKEN_OVER,
            reason=reason,
            by=by,
            cancellation=cancellation,
        )
        if by is None:  # nobody has to agree to what the system itself has promised
            approve_by_system(refund, reason=cancellation.reason)
        elif _is_policy(cancellation) and by.household_id == order.household_id:
            approve_by_rule(refund)
    if found.credit_cents:
        _give_credit(cancellation, found.credit_cents, reason=reason)
    if cancellation.value_cents >= (cancellation.enrollment.order_item.net_cents or 0):
        give_use_back(cancellation.enrollment.order_item)
    if order.status == OrderStatus.CONFIRMED and not _still_wanted(order):
        order.end(OrderStatus.CANCELLED, by=by, reason="the last class was cancelled")
    StaffTask.objects.about(cancellation).open().update(closed_at=Now())
    cancellation.settle(
        stopped_cents=found.stopped_cents,
        refund_cents=found.refund_cents,
        credit_cents=found.credit_cents,
        stops=[
            {
                "due_on": cut.installment.due_on.isoformat(),
                "cents": cut.installment.amount_cents,
                "left_cents": cut.left_cents,
            }
            for cut in reversed(found.cuts)
        ],
    )


def _give_credit(cancellation: Cancellation, cents: int, *, reason: str) -> None:
    """Credit for what the school itself cancels starts today; otherwise credit keeps its last day."""
    order, on = cancellation.order, local_date(cancellation.requested_at)
    why: dict[str, Any] = {
        "cause": CreditCause.CANCELLATION,
        "reason": reason[:300],
        "by": cancellation.by,
        "cancellation": cancellation,
    }
    if cancellation.by is None or cancellation.closure_id:
        grant(household=order.household, cents=cents, on=on, order=order, **why)
    else:
        give_for(order=order, cents=cents, on=on, **why)


def _still_wanted(order: Order) -> bool:
    """By another child or class, by a cancellation that waits, or for what is still to be paid."""
    waiting = Cancellation.objects.waiting().filter(order=order).count()
    enrolled = Enrollment.objects.enrolled().filter(order_item__order=order)
    return waiting > 1 or enrolled.exists() or order.installments.open().exists()


def _payable_invoices(order: Order, cancellation: Cancellation) -> list[Installment]:
    """The installments to be reduced that could be paid on Stripe's page in the meantime."""
    found = _found(order, cancellation)
    return [cut.installment for cut in found.cuts if cut.installment.stripe_invoice_id]
