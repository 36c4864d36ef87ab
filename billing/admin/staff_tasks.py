"""When the staff tasks about money are over: see `csf.staff.tasks`."""

from django.db.models import Exists, F, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing.models import (
    BookDifference,
    Cancellation,
    Card,
    ChargeAttempt,
    ChargeStatus,
    ClosureLine,
    ClosureLineStatus,
    Dispute,
    Installment,
    InstallmentStatus,
    Payment,
    Refund,
    RefundStatus,
    StripeEvent,
    StripeEventStatus,
)
from billing.models.installments import OPEN_INSTALLMENT
from billing.models.refunds import COUNTED
from billing.stripe import secret_key
from billing.task_kinds import MoneyTask
from csf.staff.tasks import closed_by_hand, open_while
from orders.models import Order, OrderStatus


def _sum_of(refunds: QuerySet[Refund]) -> Coalesce:
    """How much of one payment these have refunded, or will refund."""
    counted = refunds.filter(status__in=COUNTED).order_by().values("payment")
    return Coalesce(counted.annotate(sum=Sum("amount_cents")).values("sum")[:1], 0)


def _kept_payments() -> QuerySet[Payment]:
    """Payments that are not fully refunded, and not about to be."""
    back = _sum_of(Refund.objects.filter(payment=OuterRef("pk")))
    return Payment.objects.annotate(back=back).filter(back__lt=F("amount_cents"))


def _loose_money() -> QuerySet[Payment]:
    return _kept_payments().filter(installment=None)


def _undecided_payments() -> QuerySet[Payment]:
    return _kept_payments().filter(disputes=None)


def _refunds_to_make_again() -> QuerySet[Refund]:
    again = _sum_of(Refund.objects.filter(payment=OuterRef("payment"), pk__gt=OuterRef("pk")))
    failed = Refund.objects.filter(status=RefundStatus.FAILED)
    return failed.annotate(again=again).filter(again__lt=F("amount_cents"))


def _open_installments() -> QuerySet[Installment]:
    return Installment.objects.open().exclude(order__status__in=[OrderStatus.CANCELLED, OrderStatus.EXPIRED])


def _orders_to_pay() -> QuerySet[Order]:
    return Order.objects.filter(Exists(_open_installments().filter(order=OuterRef("pk"))))


def _attempts_of_open_installments() -> QuerySet[ChargeAttempt]:
    return ChargeAttempt.objects.filter(installment__status__in=OPEN_INSTALLMENT)


open_while(MoneyTask.UNMATCHED_PAYMENT, _loose_money)
open_while(MoneyTask.EVENT_PARKED, lambda: StripeEvent.objects.filter(status=StripeEventStatus.PARKED))
open_while(
    MoneyTask.CHARGE_UNKNOWN,
    lambda: ChargeAttempt.objects.filter(status__in=[ChargeStatus.UNKNOWN, ChargeStatus.PARKED]),
)
open_while(MoneyTask.CARD_REFUSED, lambda: Installment.objects.filter(status=InstallmentStatus.NEEDS_CARD))
open_while(MoneyTask.CARD_UNKNOWN, lambda: Card.objects.usable().filter(agreements=None))
open_while(MoneyTask.DECLINE_TO_LOOK_AT, _attempts_of_open_installments)
open_while(MoneyTask.INSTALLMENT_LATE, _open_installments)
open_while(
    MoneyTask.INSTALLMENT_EXHAUSTED,
    lambda: Installment.objects.filter(status=InstallmentStatus.EXHAUSTED),
)
# One about a household, whose page to save a card was refused, is for a person: it may owe nothing.
open_while(MoneyTask.CHARGE_REJECTED, _open_installments)
open_while(MoneyTask.CHARGE_REJECTED, _orders_to_pay)
open_while(MoneyTask.CHARGE_REJECTED, _attempts_of_open_installments)
open_while(MoneyTask.INVOICE_ENDED, lambda: Installment.objects.open().exclude(held_at=None))
open_while(MoneyTask.REFUND_TO_APPROVE, lambda: Refund.objects.filter(status=RefundStatus.REQUESTED))
open_while(MoneyTask.REFUND_FAILED, _refunds_to_make_again)
open_while(MoneyTask.REFUND_UNKNOWN, lambda: Refund.objects.filter(status=RefundStatus.UNKNOWN))
open_while(MoneyTask.CANCELLATION_WAITING, lambda: Cancellation.objects.waiting())
open_while(MoneyTask.DISPUTE, lambda: Dispute.objects.filter(closed_at=None))
open_while(MoneyTask.FRAUD_WARNING, _undecided_payments)
open_while(MoneyTask.WAITLIST_CHARGE, lambda: Order.objects.filter(status=OrderStatus.PLACED))
open_while(MoneyTask.CLOSURE_LINE, lambda: ClosureLine.objects.filter(status=ClosureLineStatus.FAILED))
open_while(MoneyTask.STRIPE_KEY_REFUSED, secret_key.refusals)
open_while(MoneyTask.BOOKS_DIFFER, lambda: BookDifference.objects.open())
closed_by_hand(MoneyTask.REFUND_BY_SYSTEM, "Nobody has looked at the refund yet.")
closed_by_hand(MoneyTask.REFUND_EXTERNAL, "Only a person knows why it was made.")
closed_by_hand(MoneyTask.DISPUTE_DECIDED, "Staff decide about the class and the other charges.")
