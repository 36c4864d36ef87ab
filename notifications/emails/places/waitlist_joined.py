"""A child is on a waitlist, or has moved up to its priority tier."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from csf.web.fast_reverse import path_to
from enrollments.classes.waitlist import OFFERS_ENDED
from enrollments.models import Enrollment, EnrollmentStatus, EnrollmentTransition
from enrollments.models.seats import WAITING
from notifications.facts import waitlist
from notifications.facts.recipients import waiting_family
from notifications.spec import Choice, Email, Snapshot, Trigger, after


def owes(moved: EnrollmentTransition) -> bool:
    return moved.to_status == EnrollmentStatus.WAITLISTED and moved.reason != OFFERS_ENDED


def snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = Enrollment.objects.with_position().get(pk=fact.enrollment_id)
    consent = getattr(enrollment, "waitlist_consent", None)
    return waitlist.place_facts(enrollment) | {
        "position": enrollment.position,
        "tier": enrollment.tier,
        "at_most_cents": consent and consent.at_most_cents,
        "leave_path": path_to("leave_waitlist", enrollment.public_id),
    }


def still_waiting(facts: Iterable[int]) -> set[int]:
    waiting = EnrollmentTransition.objects.filter(pk__in=facts, enrollment__status__in=WAITING)
    return set(waiting.values_list("pk", flat=True))


EMAIL = Email(
    kind="waitlist_joined",
    title=_("Joined the waitlist"),
    when="a child joins a waitlist, or its priority tier",
    choice=Choice(
        "Joined a waitlist",
        "Confirms the place in line. You'll always get an email when a place opens up.",
    ),
    trigger=Trigger(EnrollmentTransition, owes=owes, order=waitlist.ORDER),
    recipients=waiting_family,
    family=attrgetter(waitlist.FAMILY),
    snapshot=snapshot,
    key=lambda fact: f"enrollment:{fact.enrollment_id}:joined:{fact.enrollment.tier}",
    accent="blue",
    is_copy_harmless=True,
    group="service",
    expires=after(timedelta(days=3)),
    still_true=still_waiting,
    samples=waitlist.samples(
        waitlist.place(
            position=2, tier="regular", at_most_cents=None, leave_path="/account/waitlist/6f1b/leave/"
        ),
        priority={"tier": "priority", "at_most_cents": 18_000, "position": 1},
        card_is_missing={"at_most_cents": 18_000, "position": 13},
    ),
)
