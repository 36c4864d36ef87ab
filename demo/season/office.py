"""What the office does each day, and what happens to the school once."""

from collections.abc import Callable
from datetime import datetime, timedelta

from billing.changes.class_closure import close_session, preview_session
from billing.ledger.refunds import approve
from billing.models import Refund, RefundStatus
from demo.season.characters import Life
from demo.season.family import OFFICE, Family, local, next_time
from enrollments.models import CourseSession, User

SNOWS_AFTER = timedelta(weeks=4)


def approves_refunds(now: Callable[[], datetime], by: User) -> Life:
    while True:
        yield next_time(OFFICE, now()) - now()
        for refund in Refund.objects.filter(status=RefundStatus.REQUESTED):
            approve(refund=refund, by=by)


def snow_day(now: Callable[[], datetime], by: User, people: list[Family]) -> Life:
    """The first class of the day does not take place; its families hear of it early in the morning."""
    yield SNOWS_AFTER - timedelta(hours=2)
    sessions = CourseSession.objects.filter(
        held_on__gte=local(now()).date(), course__enrollments__status="active"
    )
    session = sessions.select_related("course").earliest("held_on", "start_time")
    seen = preview_session(session=session)
    close_session(session=session, by=by, reason="Snow.", now=now(), fingerprint=seen.fingerprint)
    for family in people:
        for child, offer in family.places:
            if offer.title == session.course.title:
                why = f"snow on {child.first_name}'s {offer.title}"
                family.expect("session_cancelled", now(), why)
