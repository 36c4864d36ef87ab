"""What changed in an order after it was paid, in the words of its page: cancelled places, refunds, credit."""

from dataclasses import dataclass

from billing.installments.statement import State
from billing.ledger.refunds import HANDED_OVER
from billing.models import (
    Cancellation,
    CancellationStatus,
    Credit,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
    Transfer,
)
from csf.money import money_text
from csf.templatetags.csf_format import day
from enrollments.models import EnrollmentStatus
from orders.models import Order

COLLECT = "Please collect it at our office."
BANK_DAYS = "It can take 5 to 10 business days to show in your bank account."


@dataclass(frozen=True)
class Changes:
    cancellations: list[Cancellation]
    refunds: list[tuple[Refund, State]]
    credits: list[Credit]
    transfers: list[Transfer]


def changes_of(order: Order) -> Changes:
    """For an order with its lines: changes that no line can have are not looked up."""
    lines = order.items.all()
    places = [line.enrollment for line in lines if line.enrollment]
    refunds = order.refunds.select_related("payment").order_by("pk")
    return Changes(
        cancellations=_cancellations(order)
        if any(place.status == EnrollmentStatus.CANCELLED for place in places)
        else [],
        refunds=[(refund, refund_state(refund)) for refund in refunds],
        credits=list(order.credits.all()),
        transfers=_transfers(order) if any(line.moved_from_id for line in lines) else [],
    )


def _cancellations(order: Order) -> list[Cancellation]:
    found = order.cancellations.select_related("enrollment__child", "enrollment__course")
    return list(found.order_by("pk"))


def _transfers(order: Order) -> list[Transfer]:
    found = order.transfers.select_related("left__course", "joined__child", "joined__course", "installment")
    return list(found.order_by("pk"))


def refund_state(refund: Refund) -> State:
    if refund.cause == RefundCause.DISPUTE:
        return State("Returned by your bank", "over", "")
    match refund.status:
        case RefundStatus.REQUESTED:
            return State("Awaiting approval", "placed", "Our office will review it first.")
        case RefundStatus.SUCCEEDED | RefundStatus.EXTERNAL:
            return State("Refunded", "paid", BANK_DAYS if refund.method == RefundMethod.STRIPE else "")
        case RefundStatus.REJECTED:
            return State("Not refunded", "over", "If you have a question, please ask our office.")
        case RefundStatus.FAILED:
            return State("Did not arrive", "overdue", _after_failure(refund))
    return State("On its way", "placed", COLLECT if refund.method in HANDED_OVER else "")


def _after_failure(refund: Refund) -> str:
    """A later refund of the same payment is the other way, shown on the same page."""
    later = refund.payment.refunds.counted().filter(pk__gt=refund.pk, cause=RefundCause.STAFF)
    return "" if later.exists() else "Our office is looking for another way and will email you."


def cancelled_text(done: Cancellation) -> str:
    """What a parent reads right after cancelling a place."""
    child, course = done.enrollment.child.first_name, done.enrollment.course
    text = f"{child} is no longer enrolled in {course}."
    if done.status != CancellationStatus.SETTLED and done.waits_for_bank:
        return f"{text} Your bank is reviewing a payment. We will email you once it has decided."
    if done.status != CancellationStatus.SETTLED:
        return f"{text} A payment for this order is being processed. We will email you the result."
    parts = []
    for refund in done.refunds.select_related("payment").order_by("pk"):
        when = "once our office has approved it" if refund.status == RefundStatus.REQUESTED else "right away"
        parts.append(f"{money_text(refund.amount_cents)} will be refunded {refund.way_back} {when}.")
    if done.credit_cents:
        until = done.credits.order_by("expires_on")[0].expires_on  # of what ends first
        good = f", valid until {day(until)}" if until else ""
        parts.append(f"{money_text(done.credit_cents)} is now credit for future classes{good}.")
    if done.stopped_cents:
        parts.append(f"{money_text(done.stopped_cents)} will no longer be charged.")
    return " ".join([text, *parts])
