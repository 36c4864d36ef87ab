"""A family's bank takes a payment back: nothing more of that order is charged, and staff answer Stripe."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from billing import gateway
from billing.models import Dispute, Payment, PaymentMethod, Refund, RefundCause, RefundStatus
from csf.contention import again_after_deadlock
from csf.jobs import enqueue
from csf.models import StaffTask
from csf.money import money_text
from orders.models import Order

WON, LOST = {"won", "warning_closed"}, {"lost"}


@again_after_deadlock
@transaction.atomic
def settle_dispute(found: Mapping[str, Any], payment: Payment) -> Dispute:
    """Write what Stripe says about a dispute. Safe to repeat, in any order: a closed one stays closed."""
    Order.objects.select_for_update(no_key=True).get(pk=payment.order_id)
    dispute, is_new = Dispute.objects.get_or_create(
        stripe_id=found["id"],
        defaults={
            "payment": payment,
            "amount_cents": found["amount"],
            "currency": found["currency"],
            "reason": found["reason"] or "",
            "status": found["status"],
            "evidence_due_at": _due_at(found),
            "opened_at": gateway.instant(found["created"]),
        },
    )
    if is_new:
        Order.objects.filter(pk=payment.order_id, charges_paused_at=None).update(charges_paused_at=Now())
        StaffTask.open(StaffTask.Kind.DISPUTE, dispute, _what_to_do(dispute))
    if found["status"] in WON | LOST and dispute.is_open:
        _close(dispute, found["status"])
    return dispute


def _due_at(found: Mapping[str, Any]) -> Any:
    due_at = (found.get("evidence_details") or {}).get("due_by")
    return gateway.instant(due_at) if due_at else None


def _what_to_do(dispute: Dispute) -> str:
    amount = money_text(dispute.amount_cents)
    until = f" until {dispute.evidence_due_at:%Y-%m-%d}" if dispute.evidence_due_at else ""
    return (
        f"The bank disputes {amount} ({dispute.reason}). Nothing more of this order is charged. Answer in "
        f"Stripe's dashboard{until}: order, consent and emails are on the dispute's page here."
    )


def _close(dispute: Dispute, status: str) -> None:
    """What was lost counts as given back; what was won stays, and refunds that waited may go."""
    dispute.status, dispute.closed_at = status, timezone.now()
    dispute.save(update_fields=["status", "closed_at"])
    if status in LOST:
        payment = dispute.payment
        for refund in payment.refunds.filter(status__in=[RefundStatus.REQUESTED, RefundStatus.APPROVED]):
            refund.move(RefundStatus.REJECTED, reason="the bank has given the money back")
        Refund.objects.create(
            order=payment.order,
            payment=payment,
            amount_cents=dispute.amount_cents,
            currency=dispute.currency,
            method=PaymentMethod.STRIPE,
            cause=RefundCause.DISPUTE,
            reason=f"dispute {dispute.stripe_id} was lost",
            status=RefundStatus.EXTERNAL,
        )
    word = "lost: the money is gone" if status in LOST else "won: the money stays"
    detail = (
        f"The dispute about {money_text(dispute.amount_cents)} is {word}. Decide about the other charges."
    )
    StaffTask.objects.about(dispute).open().update(closed_at=Now())
    StaffTask.open(StaffTask.Kind.DISPUTE, dispute, detail)
    enqueue("billing.tasks.refund")
