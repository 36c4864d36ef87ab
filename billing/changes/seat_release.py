"""Offering a place to the waitlist after the time for refunds is over: when someone has paid for it, the
family leaves the class and is refunded automatically."""

import datetime
import logging
from collections.abc import Iterator

from django.db import transaction

from billing.changes.cancellation import cancel_enrollment, refund_until
from billing.models import Terms
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.jobs.for_each import for_each
from csf.state import Stale
from enrollments.classes.waitlist import fill, offers_end_at, taken_over
from enrollments.locks import lock_course
from enrollments.models import Enrollment, EnrollmentStatus, User

logger = logging.getLogger(__name__)

TAKEN_OVER = "a family from the waitlist has taken the place"


def can_be_offered(enrollment: Enrollment, *, now: datetime.datetime) -> bool:
    """Before that it can be cancelled for its full price; after the start nobody is offered a seat."""
    is_active = enrollment.status == EnrollmentStatus.ACTIVE and enrollment.offered_to_waitlist_at is None
    order = enrollment.order_item.order
    is_late = local_date(now) > refund_until(order)
    return is_active and is_late and offers_end_at(enrollment.course, now=now) is not None


@again_after_deadlock
@transaction.atomic
def offer_to_waitlist(enrollment: Enrollment, *, by: User, now: datetime.datetime) -> None:
    """Let someone on the waitlist take the place over, now or later. Raises Stale if it cannot be."""
    course = lock_course(enrollment.course_id)
    enrollment.refresh_from_db()
    if not can_be_offered(enrollment, now=now):
        raise Stale("this place cannot be offered")
    enrollment.offer_to_waitlist(at=now, by=by)
    fill(course, now=now)


@again_after_deadlock
@transaction.atomic
def keep(enrollment: Enrollment, *, by: User) -> None:
    """Keep the place after all. Raises Stale while someone decides about it."""
    lock_course(enrollment.course_id)
    enrollment.refresh_from_db()
    enrollment.keep(by=by)


def sell_offered_seats(*, now: datetime.datetime) -> None:
    """Each minute: a child whose offered seat has been paid for leaves the class."""

    def sell(enrollment: Enrollment) -> None:
        try:
            cancel_enrollment(
                enrollment=enrollment, by=None, reason=TAKEN_OVER, now=now, terms=Terms.PRORATED_REFUND
            )
        except Stale as lost:  # another worker was first
            logger.info("enrollment %s: %s", enrollment.pk, lost)

    for_each(_taken_over(), sell, doing="selling an offered seat")


def _taken_over() -> Iterator[Enrollment]:
    on_offer = Enrollment.objects.filter(status=EnrollmentStatus.ON_OFFER)
    for course_id in on_offer.order_by().values_list("course", flat=True).distinct():
        with transaction.atomic():
            over = taken_over(lock_course(course_id))
        yield from over
