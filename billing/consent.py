"""What a parent agrees to before later charges: kept word for word with the order, apart from the terms."""

import datetime
from collections.abc import Sequence

from django.conf import settings

from billing.models import Consent, PaymentPlan, WaitlistConsent
from billing.plans import Part
from csf.money import money_text
from csf.templatetags.csf_format import day
from enrollments.models import Child, Course, User
from orders.models import Order

TEXT_VERSION = "2026-11"
WAITLIST_TEXT_VERSION = "2026-11"


def consent_text(parts: Sequence[Part]) -> str:
    later = ", ".join(f"{money_text(part.amount_cents)} on {day(part.due_on)}" for part in parts[1:])
    return (
        f"I allow {settings.SCHOOL_NAME} to charge the card that pays the first part also for the others: "
        f"{later}. I get an email before each charge, I can pay earlier or change the card in my account, "
        f"and I can withdraw this permission at any time by writing to {settings.SCHOOL_EMAIL}; what is owed "
        "stays owed."
    )


def waitlist_consent_text(*, child: Child, course: Course, at_most_cents: int) -> str:
    return (
        f"When a place in {course} is free for {child.first_name}, I allow {settings.SCHOOL_NAME} to take it "
        f"for us and to charge my saved card at once, without asking me first: the price of today, "
        f"{money_text(at_most_cents)}, or less. I get an email when that happens. I can leave the waitlist "
        "in my account at any time before."
    )


def record_consent(
    *,
    order: Order,
    plan: PaymentPlan,
    parts: Sequence[Part],
    by: User,
    at: datetime.datetime,
    address: str | None,
) -> Consent:
    return Consent.objects.create(
        order=order,
        plan=plan,
        given_by=by,
        text_version=TEXT_VERSION,
        text=consent_text(parts),
        schedule=[
            {"number": part.number, "due_on": part.due_on.isoformat(), "amount_cents": part.amount_cents}
            for part in parts
        ],
        address=address,
        given_at=at,
    )


def record_waitlist_consent(*, order: Order, given: WaitlistConsent) -> Consent:
    """What was agreed to when joining the waitlist, now that a place is ordered."""
    return Consent.objects.create(
        order=order,
        given_by=given.given_by,
        text_version=given.text_version,
        text=given.text,
        address=given.address,
        given_at=given.given_at,
    )


def record_move_consent(*, text: str, by: User, at: datetime.datetime) -> Consent:
    """The words in which a family agreed that what a move costs more is charged; `by` wrote them down."""
    return Consent.objects.create(given_by=by, text=text, given_at=at)


def has_plan(order: Order) -> bool:
    """Whether later parts were agreed to at checkout, so that the card which pays is saved for them."""
    return Consent.objects.filter(order=order, plan__isnull=False).exists()
