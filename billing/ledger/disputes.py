"""A family's bank takes a payment back: nothing more of that order is charged, and staff answer Stripe.

An inquiry is a question of the bank's: it has taken no money, and may become a dispute.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from billing.models import (
    ClosureLine,
    ClosureLineStatus,
    Dispute,
    Payment,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
)
from billing.stripe.objects import instant
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.jobs.queue import enqueue
from csf.models import StaffTask
from csf.money import money_text
from orders.locks import lock_order
from orders.models import Order

# All final statuses of the pinned API version. `prevented`: settled between the networks before it became a
# dispute, with or without the money; https://docs.stripe.com/changelog/basil/2025-08-27
FINAL = {"won", "lost", "warning_closed", "prevented"}


@again_after_deadlock
@transaction.atomic
def settle_dispute(found: Mapping[str, Any], payment: Payment) -> Dispute:
    """Write what Stripe says about a dispute. Safe to repeat, in any order: a closed one stays closed, unless
    the bank has decided otherwise since."""
    lock_order(payment.order_id)
    dispute, is_new = Dispute.objects.get_or_create(
        stripe_id=found["id"],
        defaults={
            "payment": payment,
            "amount_cents": found["amount"],
            "currency": found["currency"],
            "reason": found["reason"] or "",
            "status": found["status"],
            "evidence_due_at": _due_at(found),
            "opened_at": instant(found["created"]),
        },
    )
    if found["status"] in FINAL:
        if dispute.is_open or dispute.status != found["status"] or _has_moved(dispute, found):
            _close(dispute, found, is_new=is_new)
    elif dispute.is_open:
        _note_open(dispute, found, is_new=is_new)
    return dispute


def _note_open(dispute: Dispute, found: Mapping[str, Any], *, is_new: bool) -> None:
    """Stop charges and ask staff, once for the inquiry and once more for the dispute that comes of it."""
    was_inquiry = dispute.is_inquiry
    dispute.status, dispute.amount_cents, dispute.evidence_due_at = (
        found["status"],
        found["amount"],
        _due_at(found),
    )
    dispute.save(update_fields=["status", "amount_cents", "evidence_due_at"])
    if is_new or (was_inquiry and not dispute.is_inquiry):
        _stop_charges(dispute)
        _ask(dispute, MoneyTask.DISPUTE, _what_to_do(dispute))


def _stop_charges(dispute: Dispute) -> None:
    Order.objects.filter(pk=dispute.payment.order_id, charges_paused_at=None).update(charges_paused_at=Now())


def _ask(dispute: Dispute, kind: str, detail: str) -> None:
    """In the place of what staff were asked before."""
    StaffTask.objects.about(dispute).open().update(closed_at=Now())
    StaffTask.open(kind, dispute, detail)


def _due_at(found: Mapping[str, Any]) -> Any:
    due_at = (found.get("evidence_details") or {}).get("due_by")
    return instant(due_at) if due_at else None


def _what_to_do(dispute: Dispute) -> str:
    amount = money_text(dispute.amount_cents)
    until = f" until {dispute.evidence_due_at:%Y-%m-%d}" if dispute.evidence_due_at else ""
    begin = f"The bank disputes {amount} ({dispute.reason})."
    if dispute.is_inquiry:
        begin = (
            f"The bank asks about {amount} ({dispute.reason}). It has taken no money, and a refund ends the "
            "inquiry."
        )
    return (
        f"{begin} Charges of this order are paused. Answer in Stripe's dashboard{until}: order, consent "
        "and emails are on the dispute's page here."
    )


def _close(dispute: Dispute, found: Mapping[str, Any], *, is_new: bool) -> None:
    """What the bank took counts as refunded; what it did not take stays, and refunds that waited may be sent.

    Staff decide about the other charges, even if no event reported the dispute before.
    """
    dispute.status, dispute.closed_at = found["status"], clock.now()
    dispute.save(update_fields=["status", "closed_at"])
    taken_cents = _taken_cents(found)
    if is_new or taken_cents:
        _stop_charges(dispute)
    if _has_moved(dispute, found):
        _undo_loss(dispute)
        if taken_cents:
            _book_loss(dispute, taken_cents)
    _ask(dispute, MoneyTask.DISPUTE_DECIDED, _how_it_ended(dispute, taken_cents))
    _ask_about_sessions(dispute)
    enqueue("billing.tasks.refund")


def _how_it_ended(dispute: Dispute, taken_cents: int) -> str:
    amount, taken = money_text(dispute.amount_cents), money_text(taken_cents)
    if not taken_cents:
        end = "over: the money stays"
    elif taken_cents == dispute.amount_cents:
        end = "lost: the money is gone"
    else:
        end = f"lost: {taken} of it is gone"
    return f"The dispute about {amount} is {end}. Decide about the class and the other charges."


def _ask_about_sessions(dispute: Dispute) -> None:
    """Credit for cancelled sessions was not given while the bank had to decide."""
    places = Q(enrollment__order_item__order=dispute.payment.order_id, closure__session__isnull=False)
    for line in ClosureLine.objects.filter(places, status=ClosureLineStatus.FAILED):
        StaffTask.open(MoneyTask.CLOSURE_LINE, line, "The dispute has ended: try again to give the credit.")


def _taken_cents(found: Mapping[str, Any]) -> int:
    """What the bank has kept. A part comes back though the dispute is lost if it had been refunded before;
    for `prevented` only what moved on our balance says whether anything was taken.

    The balance may be in another currency than the payment: then the disputed amount counts.
    """
    moves = found.get("balance_transactions") or []
    amount_cents: int = found["amount"]
    if found["status"] not in {"lost", "prevented"}:
        return 0
    if not moves:
        return amount_cents if found["status"] == "lost" else 0
    moved_cents: int = -sum(row["amount"] for row in moves)
    if moved_cents <= 0:
        return 0
    is_same_currency = all(row.get("currency") == found["currency"] for row in moves)
    return moved_cents if is_same_currency else amount_cents


def _has_moved(dispute: Dispute, found: Mapping[str, Any]) -> bool:
    """Whether the bank has kept another amount than we have booked."""
    return _taken_cents(found) != sum(refund.amount_cents for refund in _losses(dispute))


def _book_loss(dispute: Dispute, cents: int) -> None:
    payment = dispute.payment
    for refund in payment.refunds.filter(status__in=[RefundStatus.REQUESTED, RefundStatus.APPROVED]):
        refund.transition_to(RefundStatus.REJECTED, reason="the bank has given the money back")
        StaffTask.objects.about(refund).open().update(closed_at=Now())
    Refund.objects.create(
        order=payment.order,
        payment=payment,
        amount_cents=cents,
        currency=dispute.currency,
        method=RefundMethod.STRIPE,
        cause=RefundCause.DISPUTE,
        reason=_loss(dispute),
        status=RefundStatus.EXTERNAL,
    )


def _undo_loss(dispute: Dispute) -> None:
    """The bank has decided again, or given a part back."""
    for refund in _losses(dispute):
        refund.transition_to(RefundStatus.FAILED, reason="the bank has decided again")


def _losses(dispute: Dispute) -> QuerySet[Refund]:
    lost = dispute.payment.refunds.filter(cause=RefundCause.DISPUTE, status=RefundStatus.EXTERNAL)
    return lost.filter(reason=_loss(dispute))


def _loss(dispute: Dispute) -> str:
    return f"dispute {dispute.stripe_id} was lost"
