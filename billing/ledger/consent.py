"""What a parent agrees to before later charges: kept word for word with the order, apart from the terms."""

import datetime
from collections.abc import Sequence

from django.conf import settings

from billing.models import Card, Consent, Installment, PaymentPlan, WaitlistConsent
from billing.plan_schedule import Part
from csf.money import money_text
from csf.templatetags.csf_format import day
from enrollments.models import Child, Course, User
from orders.models import Order

TEXT_VERSION = "2026-12-01"
WAITLIST_TEXT_VERSION = "2026-12-01"


def consent_text(
    parts: Sequence[Part], *, other_parts: Sequence[Installment] = (), may_tick: bool = False
) -> str:
    """`other_parts` are of other orders that the same card is to pay from now on; `may_tick` if the page asks
    for them."""
    later = ", ".join(f"{money_text(part.amount_cents)} on {day(part.due_on)}" for part in parts[1:])
    others = "and for no other order, unless I choose it below" if may_tick else "and for no other order"
    if other_parts:
        others = "and also for these of my other orders: " + ", ".join(
            f"{money_text(part.amount_cents)} on {day(part.due_on)} (order {part.order.number})"
            for part in other_parts
        )
    return (
        f"I allow {settings.SCHOOL_NAME} to charge the card I use for the first payment for the later "
        f"ones too: {later}, {others}. I get an email before each charge. In my account I can pay early, "
        "change the card, or withdraw this permission at any time. I still owe whatever is not paid."
    )


def waitlist_consent_text(*, child: Child, course: Course, at_most_cents: int, card: Card | None) -> str:
    paid_by = f"my card, {card}," if card else "the card I save for this"
    return (
        f"When a place in {course} is free for {child.first_name}, I allow {settings.SCHOOL_NAME} to book it "
        f"for us and to charge {paid_by} right away, without asking me first: today's price, "
        f"{money_text(at_most_cents)}, or less. I get an email when that happens. Until then I can change "
        "the card or leave the waitlist in my account."
    )


def record_consent(
    *,
    order: Order,
    plan: PaymentPlan,
    parts: Sequence[Part],
    by: User,
    at: datetime.datetime,
    address: str | None,
    other_orders: Sequence[Order] = (),
) -> Consent:
    """`other_orders`: open ones of the family that the card of this one is to pay as well."""
    other_parts = Installment.objects.open().filter(order__in=other_orders, consent__isnull=False)
    consent = Consent.objects.create(
        order=order,
        plan=plan,
        given_by=by,
        text_version=TEXT_VERSION,
        text=consent_text(parts, other_parts=[*other_parts.select_related("order").order_by("due_on", "pk")]),
        schedule=[
            {"number": part.number, "due_on": part.due_on.isoformat(), "amount_cents": part.amount_cents}
            for part in parts
        ],
        address=address,
        given_at=at,
    )
    consent.other_orders.set(other_orders)
    return consent


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


def plan_consent(order: Order) -> Consent | None:
    """If later parts were agreed to at checkout: the card which pays there is saved for them."""
    return Consent.objects.filter(order=order, plan__isnull=False).first()
