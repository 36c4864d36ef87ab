"""A free seat is held for a child on the waitlist while its family decides."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.changes.waitlist import price_cents
from billing.ledger.signed_links import offer_token
from csf import clock
from csf.web.fast_reverse import path_to
from enrollments.models import EnrollmentStatus, EnrollmentTransition, WaitlistTier
from notifications.facts import waitlist
from notifications.facts.recipients import waiting_family
from notifications.spec import Email, RequiredFor, Snapshot, Trigger


def owes(moved: EnrollmentTransition) -> bool:
    """The priority tier is not asked: it is charged."""
    return moved.to_status == EnrollmentStatus.OFFERED and moved.enrollment.tier == WaitlistTier.REGULAR


def snapshot(fact: EnrollmentTransition) -> Snapshot:
    enrollment = fact.enrollment
    assert enrollment.expires_at is not None
    token = offer_token(enrollment)
    return waitlist.place_facts(enrollment) | {
        "ends_at": enrollment.expires_at.isoformat(),
        "price_cents": price_cents(enrollment.child, enrollment.course, now=clock.now()),
        "instead_of_charge": enrollment.priority_at is not None,
        "accept_path": path_to("offer", token),
        "decline_path": path_to("decline_offer", token),
    }


def expires(fact: EnrollmentTransition) -> datetime | None:
    """with the offer"""
    return fact.enrollment.expires_at


def still_offered(facts: Iterable[int]) -> set[int]:
    offered = EnrollmentTransition.objects.filter(
        pk__in=facts, enrollment__status=EnrollmentStatus.OFFERED, enrollment__expires_at__gt=clock.now()
    )
    return set(offered.values_list("pk", flat=True))


EMAIL = Email(
    kind="waitlist_offer",
    title=_("Waitlist offer"),
    when="a free seat is offered",
    topic="places",
    trigger=Trigger(EnrollmentTransition, owes=owes, order=waitlist.ORDER),
    required_for=RequiredFor(
        EnrollmentTransition.objects.filter(to_status="offered", enrollment__tier="regular"),
        household="enrollment__child__household",
        about="enrollment",
    ),
    recipients=waiting_family,
    family=attrgetter(waitlist.FAMILY),
    snapshot=snapshot,
    key=lambda fact: f"enrollment:{fact.enrollment_id}:offer:{fact.pk}",
    accent="blue",
    is_copy_harmless=True,
    expires=expires,
    priority=2,
    still_true=still_offered,
    samples=waitlist.samples(
        waitlist.place(
            ends_at=waitlist.ENDS_AT,
            price_cents=18_000,
            instead_of_charge=False,
            accept_path="/offer/IjZmMWI0YzFlLTUyYTctNGM0My05YTQzIg:1wB2xY:k3Jq8s/",
            decline_path="/offer/IjZmMWI0YzFlLTUyYTctNGM0My05YTQzIg:1wB2xY:k3Jq8s/decline/",
        ),
        instead_of_charge={"instead_of_charge": True},
    ),
)
