"""A place on the waitlist, or an offer from it, ended without the family's doing."""

from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from enrollments.classes.endings import ENDED
from enrollments.classes.waitlist import LEFT_BY_FAMILY, OFFERS_ENDED
from enrollments.models import EnrollmentStatus, EnrollmentTransition
from notifications.facts import waitlist
from notifications.facts.recipients import waiting_family
from notifications.facts.samples import CLOSED_BECAUSE
from notifications.spec import Email, Snapshot, Trigger, after

# Why it ended, by its final status.
OFFER, UNPAID, CLOSED, CANCELLED, OVER, STARTED = "offer", "unpaid", "closed", "cancelled", "ended", "started"
WHY = {
    EnrollmentStatus.LAPSED: OFFER,
    EnrollmentStatus.RELEASED: UNPAID,
    EnrollmentStatus.DECLINED: CLOSED,
    EnrollmentStatus.WAITLISTED: STARTED,
}


def owes(moved: EnrollmentTransition) -> bool:
    match moved.to_status:
        case EnrollmentStatus.LAPSED:
            return True
        case EnrollmentStatus.WAITLISTED:
            return moved.reason == OFFERS_ENDED
        case EnrollmentStatus.DECLINED:
            return moved.reason != LEFT_BY_FAMILY
        case EnrollmentStatus.RELEASED:
            return bool(moved.enrollment.tier) and moved.by_id is None
    return False


def snapshot(fact: EnrollmentTransition) -> Snapshot:
    course = fact.enrollment.course
    closure = course.closures.filter(session=None).first() if course.cancelled_at else None
    why = OVER if fact.reason == ENDED else WHY[EnrollmentStatus(fact.to_status)]
    return waitlist.place_facts(fact.enrollment) | {
        "why": CANCELLED if closure else why,
        "closed_because": closure.reason if closure else "",
    }


def key(fact: EnrollmentTransition) -> str:
    what = "offers_ended" if fact.to_status == EnrollmentStatus.WAITLISTED else "lapsed"
    return f"enrollment:{fact.enrollment_id}:{what}"


EMAIL = Email(
    kind="waitlist_lapsed",
    title=_("Waitlist place or offer ended"),
    when="an offer runs out, or a place on the waitlist ends without the family's doing",
    topic="places",
    trigger=Trigger(EnrollmentTransition, owes=owes, order=waitlist.ORDER),
    recipients=waiting_family,
    family=attrgetter(waitlist.FAMILY),
    snapshot=snapshot,
    key=key,
    accent="grey",
    is_copy_harmless=True,
    expires=after(timedelta(days=3)),
    samples=waitlist.samples(
        waitlist.place(why="offer", closed_because=""),
        unpaid={"why": "unpaid"},
        closed={"why": "closed"},
        ended={"why": "ended"},
        started={"why": "started"},
        cancelled={"why": "cancelled", "closed_because": CLOSED_BECAUSE},
    ),
)
