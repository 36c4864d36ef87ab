"""What happens to places and orders when their classes have ended.

An order stays confirmed, so that the jobs keep charging and reminding, as long as any of its money is still
due in either direction.
"""

import datetime
import logging
from collections.abc import Callable, Iterable

from django.db import transaction
from django.db.models import Exists, OuterRef

from billing.models import (
    Cancellation,
    ChargeAttempt,
    ClosureLine,
    ClosureLineStatus,
    Dispute,
    Installment,
    Refund,
    RefundStatus,
)
from billing.models.charges import OPEN_CHARGE
from csf.jobs.declared import daily_job
from csf.jobs.for_each import try_one
from csf.jobs.report import Line, Report
from enrollments.classes.endings import (
    ENDED,
    complete_places,
    reopen_places,
    with_people_waiting,
    with_places_to_complete,
)
from enrollments.classes.waitlist import close_waitlist
from enrollments.models import Course, Enrollment, EnrollmentStatus, User
from orders.locks import lock_order
from orders.models import Order, OrderQuerySet, OrderStatus

logger = logging.getLogger(__name__)

REFUND_ON_ITS_WAY = [
    RefundStatus.REQUESTED,
    RefundStatus.APPROVED,
    RefundStatus.SENDING,
    RefundStatus.UNKNOWN,
]


@daily_job(at="05:40")
def complete_ended_classes(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Close the waitlists of classes that have ended; two weeks later complete their places, and each order
    that has no other place and no payment in progress."""
    report = Report()
    steps: list[tuple[str, Iterable[Course | Order], Callable[[int], None]]] = [
        ("close the waitlist of", with_people_waiting(on), _close_waitlist),
        ("complete the places in", with_places_to_complete(on), _complete_places),
        ("complete", _to_complete(), _complete_order),
    ]
    for name, rows, act in steps:
        for row in report.in_time(rows):
            if dry_run:
                report.planned.append(Line(f"{name} {row}", row.pk, 0))
            elif not try_one(act, row.pk, doing=f"job to {name} {row._meta.verbose_name}"):
                report.failed += 1
                continue
            report.done += 1
    return report


def _close_waitlist(course_id: int) -> None:
    close_waitlist(Course.objects.get(pk=course_id), by=None, reason=ENDED)


def _complete_places(course_id: int) -> None:
    complete_places(Course.objects.get(pk=course_id))


@transaction.atomic
def _complete_order(order_id: int) -> None:
    lock_order(order_id)
    order = _to_complete().filter(pk=order_id).first()  # a charge may have begun meanwhile
    if order is not None:
        order.end(OrderStatus.COMPLETED, reason="its classes have ended")


def _to_complete() -> OrderQuerySet:
    of_order = {"order": OuterRef("pk")}
    places = Enrollment.objects.filter(order_item__order=OuterRef("pk"))
    unsettled = [
        places.enrolled(),
        Installment.objects.open().filter(**of_order),
        ChargeAttempt.objects.filter(installment__order=OuterRef("pk"), status__in=OPEN_CHARGE),
        Refund.objects.filter(**of_order, status__in=REFUND_ON_ITS_WAY),
        Dispute.objects.filter(payment__order=OuterRef("pk"), closed_at=None),
        Cancellation.objects.waiting().filter(**of_order),
        ClosureLine.objects.filter(
            enrollment__order_item__order=OuterRef("pk"), status=ClosureLineStatus.WAITING
        ),
    ]
    completed = Exists(places.filter(status=EnrollmentStatus.COMPLETED))
    found = Order.objects.filter(completed, status=OrderStatus.CONFIRMED)
    return found.filter(*[~Exists(rows) for rows in unsettled]).order_by("pk")


@transaction.atomic
def reopen_class(course: Course, *, by: User, reason: str) -> int:
    """A class that had ended is extended: its completed places are active again, and their orders confirmed.

    Returns how many places. Raises `enrollments.classes.waitlist.NoSeat` if its seats do not suffice.
    """
    places = reopen_places(course, by=by, reason=reason)
    reopen_orders(places, by=by, reason=reason)
    return len(places)


def reopen_orders(places: Iterable[Enrollment], *, by: User, reason: str) -> None:
    """Confirm the completed orders of places that are active again."""
    completed = Order.objects.filter(items__enrollment__in=places, status=OrderStatus.COMPLETED)
    for order in completed.distinct().order_by("pk"):
        order.reopen(by=by, reason=reason)
