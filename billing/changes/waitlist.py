"""The waitlist where money is involved: joining with a saved card, and accepting an offer.

A family in the priority tier is not asked: its seat is ordered and its saved card charged at once, within
what it agreed to. If that is not possible, it becomes an offer by email.
"""

import datetime
import logging
from functools import partial
from typing import Any

from django.db import transaction

from billing.checkout.place_order import place_order
from billing.checkout.siblings import paid_children
from billing.installments.dunning import start_attempt
from billing.ledger.cards import use_card
from billing.ledger.consent import WAITLIST_TEXT_VERSION, waitlist_consent_text
from billing.models import Card, CardAgreement, ChargeKind, WaitlistConsent
from csf import clock
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.jobs.for_each import for_each
from csf.jobs.queue import enqueue
from enrollments.classes.waitlist import fill, is_waitlist_open, join
from enrollments.locks import lock_course, lock_household, lock_household_of
from enrollments.models import Child, Course, Enrollment, EnrollmentStatus, User, WaitlistTier
from orders.cart import check_line
from orders.models import Order, OrderItem
from orders.prices.quotes import Quote
from orders.refusal import OrderRefused
from orders.waitlist import quote_of, waitlist_line, write_line

logger = logging.getLogger(__name__)


def price_of(line: OrderItem, *, now: datetime.datetime) -> Quote:
    """What a seat from the waitlist would cost its child now."""
    paid = paid_children(line.child.household_id, on=local_date(now))
    return quote_of(line, now=now, paid_children=paid)


def price_cents(child: Child, course: Course, *, now: datetime.datetime) -> int:
    return price_of(waitlist_line(child=child, course=course), now=now).total_cents


@again_after_deadlock
@transaction.atomic
def join_waitlist(
    *,
    child: Child,
    course: Course,
    by: User,
    now: datetime.datetime,
    at_most_cents: int | None = None,
    address: str | None = None,
    card: Card | None = None,
) -> Enrollment:
    """Let a child wait for a seat. Raises OrderRefused, in words for the parent.

    With `at_most_cents` the parent consents to be charged at once, from `address`, up to today's price, which
    must be this one, to `card`. Until a card is saved for it the child waits in the regular tier.
    """
    lock_household(child.household_id)
    course = lock_course(course.pk)
    check_line(child=child, course=course, now=now)
    if not is_waitlist_open(course, now=now):
        raise OrderRefused(f"{course} has places left: you can register {child.first_name} right away.")
    today = local_date(now)
    tier = WaitlistTier.REGULAR
    if at_most_cents is not None:
        if at_most_cents != price_cents(child, course, now=now):
            raise OrderRefused("The price has changed since you saw it. Please check it again.")
        if card and not card.why_not_charged(today):
            tier = WaitlistTier.PRIORITY
    enrollment = join(child=child, course=course)
    if at_most_cents is not None:
        consent = WaitlistConsent.objects.create(
            enrollment=enrollment,
            given_by=by,
            at_most_cents=at_most_cents,
            text=waitlist_consent_text(child=child, course=course, at_most_cents=at_most_cents, card=card),
            text_version=WAITLIST_TEXT_VERSION,
            address=address,
            given_at=now,
        )
        if card:
            use_card(card, places=[consent], by=by, at=now)
    enrollment.enter_line(tier, at=clock.now(), by=by, reason="joined the waitlist")
    fill(course, now=now)  # a family may have offered its seat
    enrollment.refresh_from_db()
    return enrollment


@again_after_deadlock
@transaction.atomic
def accept_offer(*, enrollment: Enrollment, by: User, now: datetime.datetime, **how: Any) -> Order:
    """Order the seat that is offered, and nothing else; it is held for the payment like any other.

    `how` it is paid is for `place_order`. Raises OrderRefused if the offer is over, and whatever that raises.
    """
    order = write_line(waitlist_line(child=enrollment.child, course=enrollment.course, enrollment=enrollment))
    place_order(order=order, by=by, now=now, **how)
    return order


def serve_priority(*, now: datetime.datetime) -> None:
    """Move families that have saved the missing card to the priority tier, and accept its offers for it."""
    waiting = Enrollment.objects.filter(status=EnrollmentStatus.WAITLISTED, tier=WaitlistTier.REGULAR)
    willing = waiting.filter(waitlist_consent__isnull=False).order_by("joined_at", "pk")
    for_each(willing, partial(_move_up, now=now), doing="moving up in a waitlist")
    offered = Enrollment.objects.filter(status=EnrollmentStatus.OFFERED, tier=WaitlistTier.PRIORITY)
    for_each(offered.order_by("pk"), partial(_take_up, now=now), doing="taking up an offer")


@again_after_deadlock
@transaction.atomic
def _move_up(enrollment: Enrollment, *, now: datetime.datetime) -> None:
    _lock(enrollment)
    waits = (EnrollmentStatus.WAITLISTED, WaitlistTier.REGULAR)
    if (enrollment.status, enrollment.tier) == waits and _agreed_card(enrollment, on=local_date(now)):
        tier = WaitlistTier.PRIORITY
        enrollment.enter_line(tier, at=clock.now(), by=None, reason="a card was saved")


@again_after_deadlock
@transaction.atomic
def _take_up(enrollment: Enrollment, *, now: datetime.datetime) -> None:
    """Order the seat, and charge the card for it: the attempt waits for a worker."""
    _lock(enrollment)
    offered = (EnrollmentStatus.OFFERED, WaitlistTier.PRIORITY)
    if (enrollment.status, enrollment.tier) != offered:
        return
    if enrollment.is_over(now):
        return  # it lapses
    today = local_date(now)
    line = waitlist_line(child=enrollment.child, course=enrollment.course, enrollment=enrollment)
    total_cents = price_of(line, now=now).total_cents
    consent = WaitlistConsent.objects.filter(enrollment=enrollment).first()
    card = _agreed_card(enrollment, on=today)
    if consent is None or total_cents > consent.at_most_cents:
        enrollment.ask_instead(reason="the price is above what the family agreed to")
        return
    by = consent.given_by
    if not by.is_active or by.household_id != enrollment.child.household_id:
        enrollment.ask_instead(reason="who agreed to the charge is no longer a guardian")
        return
    if card is None:
        enrollment.ask_instead(reason="there is no saved card that can be charged")
        return
    order = write_line(line)
    place_order(
        order=order,
        by=by,
        now=now,
        expected_cents=total_cents,
        held_until=enrollment.expires_at,
        waitlist_consent=consent,
    )
    use_card(card, orders=[order], by=by, at=now)
    for installment in order.installments.all():  # none if it costs nothing
        start_attempt(installment, card=card, kind=ChargeKind.AUTO, on=today)
        enqueue("billing.tasks.charge")


def _agreed_card(enrollment: Enrollment, *, on: datetime.date) -> Card | None:
    """The card that was agreed for this place, if it can be charged."""
    agreed = CardAgreement.objects.current().filter(waitlist_consent__enrollment=enrollment)
    agreement = agreed.select_related("card").first()
    return agreement.card if agreement and not agreement.card.why_not_charged(on) else None


def _lock(enrollment: Enrollment) -> None:
    """Family and class, and the enrollment as it is under their locks."""
    lock_household_of(enrollment.child_id)
    lock_course(enrollment.course_id)
    enrollment.refresh_from_db()
