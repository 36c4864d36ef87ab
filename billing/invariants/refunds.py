"""About refunds and disputes."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.installments.pause import RESUMED
from billing.ledger.refund_sending import LEASE
from billing.models import (
    Cancellation,
    Closure,
    ClosureLine,
    Dispute,
    InstallmentNote,
    Payment,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
    RefundTransition,
)
from billing.models.refunds import COUNTED, GONE_BACK
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance
from csf.proofs.invariants import Invariant, legal, pks, quarantined_since, twice, with_task

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOT_SENT = timedelta(days=2)
UNDER_WAY = [RefundStatus.APPROVED, RefundStatus.SENDING, RefundStatus.UNKNOWN, RefundStatus.SUCCEEDED]


def _above_the_payment() -> Any:
    ours = Sum("refunds__amount_cents", filter=Q(refunds__status__in=set(COUNTED) - {RefundStatus.EXTERNAL}))
    gone = Sum("refunds__amount_cents", filter=Q(refunds__status__in=GONE_BACK))
    refunded = Payment.objects.filter(pk__in=Refund.objects.values("payment"))
    sums = refunded.exclude(refunds__cause=RefundCause.DISPUTE).annotate(ours=ours, gone=gone)
    return pks(sums.filter(Q(ours__gt=F("amount_cents")) | Q(gone__gt=F("amount_cents"))))


def _without_right() -> Any:
    by_system = Q(cause__in=[RefundCause.UNMATCHED, RefundCause.TAKEN_OVER])
    unasked = Q(status__in=UNDER_WAY, approved_by=None, is_by_rule=False) & ~by_system
    unasked |= Q(status__in=UNDER_WAY, is_by_rule=True, needs_second_person=True)
    alone = Q(needs_second_person=True, requested_by__isnull=False, approved_by=F("requested_by"))
    return pks(Refund.objects.filter(unasked | alone))


def _to_the_own_family() -> Any:
    return pks(Refund.objects.filter(approved_by__household=F("order__household")))


def _of_another_order() -> Any:
    same = Q(order=F("payment__order"), currency=F("payment__currency"))
    return pks(Refund.objects.exclude(same))


def _without_stripes_id() -> Any:
    done = Refund.objects.filter(status=RefundStatus.SUCCEEDED, method=RefundMethod.STRIPE)
    return pks(done.filter(stripe_refund_id=None))


def _without_outcome() -> Any:
    """Sent more than an hour ago; one that Stripe calls pending may take days."""
    sent = RefundTransition.objects.filter(refund=OuterRef("pk"), to_status=RefundStatus.SENDING)
    pending = Q(status=RefundStatus.SENDING, stripe_refund_id__isnull=False)
    open_ones = Refund.objects.filter(status__in=[RefundStatus.SENDING, RefundStatus.UNKNOWN])
    silent = open_ones.exclude(pending).exclude(pk__in=with_task(MoneyTask.REFUND_UNKNOWN))
    return pks(silent.filter(Exists(sent.filter(created_at__lt=Now() - HOUR))))


def _never_sent() -> Any:
    """While the bank disputes a payment it is not sent, and in quarantine nothing is."""
    if Instance.why_quarantined():
        return []
    lately = RefundTransition.objects.filter(refund=OuterRef("pk"), created_at__gt=Now() - NOT_SENT)
    disputed = Dispute.objects.undecided().filter(payment=OuterRef("payment"))
    approved = Refund.objects.filter(status=RefundStatus.APPROVED, method=RefundMethod.STRIPE)
    return pks(approved.filter(~Exists(lately), ~Exists(disputed)))


def _asked_in_silence() -> Any:
    requested = Refund.objects.filter(status=RefundStatus.REQUESTED)
    return pks(requested.exclude(pk__in=with_task(MoneyTask.REFUND_TO_APPROVE)))


def _failed_in_silence() -> Any:
    """What a dispute took and returned is reported with the dispute."""
    failed = Refund.objects.filter(status=RefundStatus.FAILED).exclude(cause=RefundCause.DISPUTE)
    return pks(failed.exclude(pk__in=with_task(MoneyTask.REFUND_FAILED)))


def _sent_in_quarantine() -> Any:
    if not (since := quarantined_since()):
        return []
    sent = RefundTransition.objects.filter(to_status=RefundStatus.SENDING, created_at__gt=since + LEASE)
    return sent.order_by().values_list("refund", flat=True).distinct()


def _disputed_and_charging() -> Any:
    """Unless staff have resumed the charges since."""
    let_go_on = InstallmentNote.objects.filter(
        installment__order=OuterRef("payment__order"),
        text__startswith=RESUMED,
        created_at__gt=OuterRef("opened_at"),
    )
    disputed = Dispute.objects.undecided().filter(payment__order__charges_paused_at=None)
    return pks(disputed.filter(~Exists(let_go_on)))


def _lost_and_kept() -> Any:
    """The bank returns what had been refunded before, and sometimes a part of the rest."""
    refunds = Refund.objects.filter(payment=OuterRef("payment"), status__in=GONE_BACK).order_by()
    gone = refunds.values("payment").annotate(sum=Sum("amount_cents")).values("sum")
    lost = Dispute.objects.filter(status="lost").annotate(gone_cents=Coalesce(Subquery(gone), 0))
    unbooked = ~Exists(refunds.filter(cause=RefundCause.DISPUTE))
    return pks(lost.filter(unbooked, gone_cents__lt=F("amount_cents")))


def _disputed_in_silence() -> Any:
    asked = with_task(MoneyTask.DISPUTE, MoneyTask.DISPUTE_DECIDED)
    return pks(Dispute.objects.exclude(pk__in=asked))


def _waiting_cancellations() -> Any:
    waiting = Cancellation.objects.waiting().filter(created_at__lt=Now() - HOUR)
    return pks(waiting.exclude(pk__in=with_task(MoneyTask.CANCELLATION_WAITING)))


def _unfinished_closures() -> Any:
    """Lines that failed are for a person; what waits is for the sweep of each minute."""
    lines = ClosureLine.objects.filter(closure=OuterRef("pk"), status="waiting")
    return pks(Closure.objects.filter(Exists(lines), status="running", created_at__lt=Now() - DAY))


INVARIANTS = [
    Invariant("M7", "refunds that share a key", lambda: twice(Refund, "public_id")),
    Invariant("M10", "payments with refunds above them", _above_the_payment),
    Invariant(
        "M10",
        "refunds without an approver, or above the limit and approved by their requester",
        _without_right,
    ),
    Invariant("M10", "refunds approved by a member of the same family", _to_the_own_family),
    Invariant("M10", "refunds of another order or currency than their payment", _of_another_order),
    Invariant("M10", "refunds that were made and have no Stripe id", _without_stripes_id),
    Invariant("M10", "lost disputes whose loss is not booked", _lost_and_kept),
    Invariant("M11", "disputed payments whose order is still charged", _disputed_and_charging),
    Invariant("M13", "refunds in a state that they cannot be in", *legal(Refund, "requested external")),
    Invariant(
        "M13", "lines of a closed class in a state that they cannot be in", *legal(ClosureLine, "waiting")
    ),
    Invariant("Y1", "refunds without an outcome for an hour, and no staff task", _without_outcome),
    Invariant("Y1", "refunds approved two days ago and not sent", _never_sent),
    Invariant("Y1", "refunds to approve without a staff task", _asked_in_silence),
    Invariant("Y1", "failed refunds without a staff task", _failed_in_silence),
    Invariant("Y1", "disputes without a staff task", _disputed_in_silence),
    Invariant("Y1", "cancellations waiting for an hour, and no staff task", _waiting_cancellations),
    Invariant("Y1", "cancelled classes whose families still wait after a day", _unfinished_closures),
    Invariant("Y3", "refunds sent in quarantine", _sent_in_quarantine),
]
