"""About orders: what is owed, what was paid, and the places that were bought."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest

from billing.invariants.sums import settled_orders, touched_orders
from billing.models import Cancellation, Credit, Installment, InstallmentStatus, Payment, Refund, Transfer
from billing.models.installments import OPEN_INSTALLMENT
from billing.models.refunds import GONE_BACK
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.proofs.invariants import Invariant, legal, pks, unguarded_tables, with_task
from enrollments.classes.endings import COMPLETE_AFTER
from enrollments.models import Course, Enrollment, EnrollmentStatus
from enrollments.models.seats import ENROLLED
from orders.models import Order, OrderItem, OrderStatus, PromoUse

ALIVE = [OrderStatus.PLACED, OrderStatus.CONFIRMED, OrderStatus.COMPLETED]
STANDING = [OrderStatus.CONFIRMED, OrderStatus.COMPLETED]
LONG_DUE = timedelta(days=30)
JOB_MISSED = timedelta(days=3)
NOT_COMPLETED = timedelta(days=30)


def _plans_that_do_not_add_up(since: datetime | None = None) -> Any:
    """Too much is never right; too little is, where staff have cancelled a part."""
    owed = F("total_cents") - F("spent_cents") - F("stopped_cents") + F("added_cents")
    cut = Installment.objects.filter(order=OuterRef("pk"), status=InstallmentStatus.CANCELLED)
    untouched = Q(~Exists(cut), status__in=ALIVE)
    wrong = Q(planned_cents__gt=owed) | (untouched & Q(planned_cents__lt=owed))
    return pks(settled_orders(since).filter(wrong))


def _changes_that_do_not_add_up() -> Any:
    """What a cancellation says, and the rows that it made; a rest that is too small to charge is waived."""
    credit = Credit.objects.filter(cancellation=OuterRef("pk")).order_by().values("cancellation")
    found = Cancellation.objects.filter(status="settled").annotate(
        asked_cents=Coalesce(Sum("refunds__amount_cents"), 0),
        given_cents=Coalesce(Subquery(credit.annotate(sum=Sum("amount_cents")).values("sum")), 0),
    )
    moved_cents = F("stopped_cents") + F("refund_cents") + F("credit_cents")
    too_much = Q(value_cents__lte=moved_cents - settings.MINIMUM_CHARGE_CENTS)
    return pks(found.filter(too_much | ~Q(asked_cents=F("refund_cents")) | ~Q(given_cents=F("credit_cents"))))


def _changes_of_another_order() -> Any:
    lines = OrderItem.objects.filter(order=OuterRef("order"))
    cancelled = Cancellation.objects.filter(~Exists(lines.filter(enrollment=OuterRef("enrollment"))))
    moved = Transfer.objects.filter(
        ~Exists(lines.filter(enrollment=OuterRef("left")))
        | ~Exists(lines.filter(enrollment=OuterRef("joined")))
    )
    return [*(f"cancellation {pk}" for pk in pks(cancelled)), *(f"transfer {pk}" for pk in pks(moved))]


def _overpaid(since: datetime | None = None) -> Any:
    """Above the total less what is no longer owed, with what was refunded, asked for or decided about."""
    owed = F("total_cents") - F("value_cents") + F("moved_cents")
    kept = F("paid_cents") + F("spent_cents") - F("back_cents") - F("given_cents")
    too_much = settled_orders(since).annotate(kept_cents=kept).filter(kept_cents__gt=Greatest(owed, 0))
    return pks(too_much.exclude(payments__in=with_task(MoneyTask.UNMATCHED_PAYMENT)))


def _paid_for_nothing() -> Any:
    """The seats are gone, and nobody sends the money back or was asked about it."""
    a_while_ago = Now() - timedelta(minutes=15)
    kept = Payment.objects.filter(order__status=OrderStatus.EXPIRED, created_at__lt=a_while_ago)
    return pks(kept.filter(refunds=None).exclude(pk__in=with_task(MoneyTask.UNMATCHED_PAYMENT)))


def _paid_and_unpaid(since: datetime | None = None) -> Any:
    """A payment that fits no installment names none."""
    wrong = Q(status="paid", payment=None) | (~Q(status="paid") & Q(payment__isnull=False))
    found = Installment.objects.filter(wrong)
    if since:
        found = found.filter(order__in=Order.objects.filter(touched_orders(since)).values("pk"))
    return pks(found)


def _first_part_unpaid() -> Any:
    """What a move costs more may be the first part of an order that cost nothing."""
    first = Installment.objects.filter(number=1, transfer=None, status__in=OPEN_INSTALLMENT)
    return first.filter(order__status__in=STANDING).values_list("order", flat=True)


CHARGED_BY_ITSELF = {
    "held_at": None,
    "consent__isnull": False,
    "order__status": OrderStatus.CONFIRMED,
    "order__charges_paused_at": None,
}


def _forgotten() -> Any:
    """Due for a month, agreed, and neither charged nor left to a person."""
    due = Installment.objects.filter(
        status=InstallmentStatus.SCHEDULED,
        due_on__lt=clock.today() - LONG_DUE,
        **CHARGED_BY_ITSELF,
    )
    return pks(due.exclude(pk__in=with_task(MoneyTask.INSTALLMENT_LATE)))


def _not_tried_again() -> Any:
    waiting = Installment.objects.filter(
        status=InstallmentStatus.RETRY_WAIT,
        next_try_on__lt=clock.today() - JOB_MISSED,
        **CHARGED_BY_ITSELF,
    )
    return pks(waiting)


def _reduced_for_nothing() -> Any:
    """A use goes back only with the price: of the line, or of the whole order."""
    gone = Cancellation.objects.filter(
        enrollment=OuterRef("enrollment"), value_cents__gte=OuterRef("net_cents")
    )
    refunded = Refund.objects.filter(order=OuterRef("order"), status__in=GONE_BACK)
    lines = OrderItem.objects.filter(promo_cents__gt=0, order__status__in=ALIVE)
    used = PromoUse.objects.filter(item=OuterRef("pk"))
    return pks(lines.filter(~Exists(used), ~Exists(gone), ~Exists(refunded)))


def _given_up_without_a_word() -> Any:
    """Nothing says what happened to their money."""
    cancelled = Q(status=EnrollmentStatus.CANCELLED, cancellation=None)
    moved = Q(status=EnrollmentStatus.TRANSFERRED, transfer_away=None)
    return pks(Enrollment.objects.filter(cancelled | moved))


def _over_and_open() -> Any:
    """All its classes ended long ago and nothing of its money is open, but it was not completed."""
    on = clock.today() - COMPLETE_AFTER - NOT_COMPLETED
    places = Enrollment.objects.filter(order_item__order=OuterRef("pk"))
    ended = Course.objects.ended(on).filter(cancelled_at=None).values("pk")
    open_ones = Order.objects.filter(
        ~Exists(places.exclude(course__in=ended)),
        ~Exists(Installment.objects.open().filter(order=OuterRef("pk"))),
        Exists(places.filter(status__in=[*ENROLLED, EnrollmentStatus.COMPLETED])),
        status=OrderStatus.CONFIRMED,
    )
    undecided = Refund.objects.filter(
        order=OuterRef("pk"), status__in=["requested", "approved", "sending", "unknown"]
    )
    disputed = Payment.objects.filter(order=OuterRef("pk"), disputes__isnull=False, disputes__closed_at=None)
    waiting = Cancellation.objects.waiting().filter(order=OuterRef("pk"))
    return pks(open_ones.filter(~Exists(undecided), ~Exists(disputed), ~Exists(waiting)))


INVARIANTS = [
    Invariant("M1", "tables of facts without their trigger", unguarded_tables),
    Invariant("M2", "lines reduced by a promo code without a recorded use", _reduced_for_nothing),
    Invariant(
        "M3",
        "orders whose installments do not add up to the total",
        _plans_that_do_not_add_up,
        _plans_that_do_not_add_up,
    ),
    Invariant("M3", "cancellations whose figures differ from what they did", _changes_that_do_not_add_up),
    Invariant("M3", "cancellations and moves of another order than their place", _changes_of_another_order),
    Invariant("M8", "orders paid above what is owed, without a refund or a staff task", _overpaid, _overpaid),
    Invariant(
        "M14",
        "installments paid without money, or with money and not paid",
        _paid_and_unpaid,
        _paid_and_unpaid,
    ),
    Invariant("M13", "installments in a state that they cannot be in", *legal(Installment, "scheduled")),
    Invariant("M13", "cancellations in a state that they cannot be in", *legal(Cancellation, "waiting")),
    Invariant("S6", "confirmed orders whose first part is not paid", _first_part_unpaid),
    Invariant("S6", "places given up without a cancellation or a move", _given_up_without_a_word),
    Invariant("S7", "payments of expired orders that no one refunds", _paid_for_nothing),
    Invariant("Y1", "installments due for a month and not charged", _forgotten),
    Invariant("Y1", "installments whose next try is days overdue", _not_tried_again),
    Invariant("Y1", "orders still open though their classes ended long ago", _over_and_open),
]
