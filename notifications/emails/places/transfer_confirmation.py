"""The office moved a child to another class: where it meets, and what the move does to the payments."""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.ledger.signed_links import pay_link_path
from billing.models import Credit, CreditCause, Transfer
from enrollments.models import Enrollment
from notifications.facts.calendar import CANCEL, calendar_facts
from notifications.facts.recipients import order_family
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ROBOTICS, SWIMMING, enrollment
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger, after


def snapshot(fact: Transfer) -> Snapshot:
    order, joined, part = fact.order, fact.joined, fact.installment
    attempt = part and part.attempts.select_related("card").first()
    card = attempt.card if attempt else None
    given = Credit.objects.filter(order=order, cause=CreditCause.TRANSFER).order_by("-pk").first()
    credit_until = given.expires_on if given and fact.credit_cents else None
    still_open = order.installments.open().exclude(pk=part.pk if part else 0).order_by("due_on", "number")
    return (
        order_facts(order)
        | course_facts(joined.course)
        | _sessions_left(joined)
        | {
            "calendars": calendar_facts(fact.left, CANCEL) + calendar_facts(joined),
            "child": str(joined.child),
            "child_first_name": joined.child.first_name,
            "old_course": fact.left.course.title,
            "difference_cents": fact.difference_cents,
            "stopped_cents": fact.stopped_cents,
            "credit_cents": fact.credit_cents,
            "credit_until": credit_until and credit_until.isoformat(),
            "pay_cents": part.amount_cents if part else 0,
            "pay_path": pay_link_path(part) if part and not card else "",
            "card_brand": card.brand if card else "",
            "card_last4": card.last4 if card else "",
            "left": [
                {"due_on": row.due_on.isoformat(), "amount_cents": row.amount_cents} for row in still_open
            ],
        }
    )


def _sessions_left(joined: Enrollment) -> Snapshot:
    """If the class has begun, those that the child still takes part in."""
    rows = joined.course.sessions.filter(cancelled_at=None)
    days = [row.held_on for row in rows if row.starts_at > joined.created_at]
    if not days:
        return {"sessions": 0}
    return {"first_on": days[0].isoformat(), "last_on": days[-1].isoformat(), "sessions": len(days)}


def _move(course: Snapshot = SWIMMING, **changes: Any) -> Snapshot:
    facts = {
        "old_course": "Robotics for Beginners",
        "difference_cents": 0,
        "stopped_cents": 0,
        "credit_cents": 0,
        "credit_until": None,
        "pay_cents": 0,
        "pay_path": "",
        "card_brand": "",
        "card_last4": "",
        "left": [],
    }
    return enrollment(course) | facts | changes


SAMPLES: Samples = {
    "minimal": _move(first_name="", address="", sessions=0),
    "typical": _move(difference_cents=6_000, pay_cents=6_000, card_brand="visa", card_last4="4242"),
    "huge": _move(
        ROBOTICS | {"course": LONG},
        first_name=LONG,
        child=f"{LONG} {LONG}",
        child_first_name=LONG,
        old_course=f"{LONG} {LONG}",
        difference_cents=-123_456_789,
        stopped_cents=23_456_789,
        credit_cents=100_000_000,
        left=[{"due_on": "2026-10-28", "amount_cents": 17_900}] * 12,
    ),
    "hostile": _move(
        HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE, old_course=HOSTILE
    ),
    "to_be_paid": _move(
        difference_cents=6_000, pay_cents=6_000, pay_path="/pay/IjZmMWI0YzFlLTUyYTciOg:1wB2xY:k3Jq8s/"
    ),
    "cheaper": _move(
        difference_cents=-6_000,
        stopped_cents=2_000,
        credit_cents=4_000,
        credit_until="2027-09-20",
        left=[{"due_on": "2026-10-28", "amount_cents": 8_900}],
    ),
}

EMAIL = Email(
    kind="transfer_confirmation",
    title=_("Moved to another class"),
    when="a child is moved to another class",
    topic="places",
    trigger=Trigger(Transfer, order="order"),
    required_for=RequiredFor(Transfer.objects.all(), household="order__household"),
    recipients=order_family,
    family=attrgetter("order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"transfer:{fact.pk}",
    accent="blue",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    priority=3,
    samples=SAMPLES,
)
