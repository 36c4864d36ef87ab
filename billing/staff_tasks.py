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
from csf.models import StaffTask
from csf.staff.tasks import a_person_closes, open_while
from orders.models import Order, OrderStatus

Kind = StaffTask.Kind


def _sum_of(refunds: QuerySet[Refund]) -> Coalesce:
    """What of one payment has gone back by these, or is to go back."""
    counted = refunds.filter(status__in=COUNTED).order_by().values("payment")
    return Coalesce(counted.annotate(sum=Sum("amount_cents")).values("sum")[:1], 0)


def _kept_payments() -> QuerySet[Payment]:
    """Payments that have not gone back, nor are to go back, as a whole."""
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


open_while(Kind.UNMATCHED_PAYMENT, _loose_money)
open_while(Kind.EVENT_PARKED, lambda: StripeEvent.objects.filter(status=StripeEventStatus.PARKED))
open_while(
    Kind.CHARGE_UNKNOWN,
    lambda: ChargeAttempt.objects.filter(status__in=[ChargeStatus.UNKNOWN, ChargeStatus.PARKED]),
)
open_while(Kind.CARD_REFUSED, lambda: Installment.objects.filter(status=InstallmentStatus.NEEDS_CARD))
open_while(Kind.CARD_UNKNOWN, lambda: Card.objects.usable().filter(agreements=None))
open_while(Kind.DECLINE_TO_LOOK_AT, _attempts_of_open_installments)
open_while(Kind.INSTALLMENT_LATE, _open_installments)
open_while(Kind.INSTALLMENT_EXHAUSTED, lambda: Installment.objects.filter(status=InstallmentStatus.EXHAUSTED))
# One about a household, whose page to save a card was refused, is for a person: it may owe nothing.
open_while(Kind.CHARGE_REJECTED, _open_installments)
open_while(Kind.CHARGE_REJECTED, _orders_to_pay)
open_while(Kind.CHARGE_REJECTED, _attempts_of_open_installments)
open_while(Kind.INVOICE_ENDED, lambda: Installment.objects.open().exclude(held_at=None))
open_while(Kind.REFUND_TO_APPROVE, lambda: Refund.objects.filter(status=RefundStatus.REQUESTED))
open_while(Kind.REFUND_FAILED, _refunds_to_make_again)
open_while(Kind.REFUND_UNKNOWN, lambda: Refund.objects.filter(status=RefundStatus.UNKNOWN))
open_while(Kind.CANCELLATION_WAITING, lambda: Cancellation.objects.waiting())
open_while(Kind.DISPUTE, lambda: Dispute.objects.filter(closed_at=None))
open_while(Kind.FRAUD_WARNING, _undecided_payments)
open_while(Kind.WAITLIST_CHARGE, lambda: Order.objects.filter(status=OrderStatus.PLACED))
open_while(Kind.CLOSURE_LINE, lambda: ClosureLine.objects.filter(status=ClosureLineStatus.FAILED))
open_while(Kind.STRIPE_KEY_REFUSED, secret_key.refusals)
open_while(Kind.BOOKS_DIFFER, lambda: BookDifference.objects.open())
a_person_closes(Kind.REFUND_BY_SYSTEM, "Nobody has looked at the refund yet.")
a_person_closes(Kind.REFUND_EXTERNAL, "Only a person knows why it was made.")
a_person_closes(Kind.DISPUTE_DECIDED, "A person decides about the class and the other charges.")
