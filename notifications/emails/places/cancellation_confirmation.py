"""A place was cancelled, by the family, by the office or with the whole class; and what happens to the
money."""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.models import CancellationStatus, CancellationTransition, RefundStatus
from notifications.facts.calendar import CANCEL, calendar_facts
from notifications.facts.recipients import guardians
from notifications.facts.samples import (
    CLOSED_BECAUSE,
    HOSTILE,
    HOSTILE_CLASS,
    LONG,
    ROBOTICS,
    SWIMMING,
    calendar,
    enrollment,
)
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger, after


def snapshot(fact: CancellationTransition) -> Snapshot:
    """Everything that happened to the money, whoever asked for it."""
    cancellation = fact.cancellation
    order, enrollment = cancellation.order, cancellation.enrollment
    credit = cancellation.credits.order_by("expires_on").first()  # what ends first
    still_open = order.installments.open().order_by("due_on", "number")
    return (
        order_facts(order)
        | course_facts(enrollment.course)
        | {
            "calendars": calendar_facts(enrollment, CANCEL),
            "child": str(enrollment.child),
            "child_first_name": enrollment.child.first_name,
            "cancelled_at": cancellation.requested_at.isoformat(),
            "closed_because": cancellation.closure.reason if cancellation.closure else "",
            "by_family": bool(cancellation.by and cancellation.by.household_id == order.household_id),
            "price_cents": enrollment.order_item.net_cents or 0,
            "terms": cancellation.terms,
            "refund_cents": cancellation.refund_cents or 0,
            "stopped_cents": cancellation.stopped_cents or 0,
            "refunds": [
                {
                    "amount_cents": refund.amount_cents,
                    "way_back": refund.way_back,
                    "is_approved": refund.status != RefundStatus.REQUESTED,
                }
                for refund in cancellation.refunds.select_related("payment").order_by("pk")
            ],
            "credit_cents": cancellation.credit_cents or 0,
            "credit_until": credit.expires_on.isoformat() if credit and credit.expires_on else None,
            "stops": cancellation.stops,
            "left": [
                {"due_on": part.due_on.isoformat(), "amount_cents": part.amount_cents} for part in still_open
            ],
        }
    )


NO_MONEY: Snapshot = {
    "refund_cents": 0,
    "stopped_cents": 0,
    "refunds": [],
    "credit_cents": 0,
    "stops": [],
    "left": [],
}
AS_CREDIT: Snapshot = NO_MONEY | {
    "terms": "prorated",
    "by_family": False,
    "credit_cents": 7_200,
    "credit_until": "2027-09-20",
}


def samples() -> Samples:
    return {
        "minimal": _sample(ROBOTICS, first_name="", address="", price_cents=0, **NO_MONEY),
        "typical": _sample(SWIMMING),
        "huge": _sample(
            ROBOTICS | {"course": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            refunds=[_refund("to Amex ending in 0005", 123_456)] * 12,
            stops=_sample(SWIMMING)["stops"] * 12,
            left=_sample(SWIMMING)["left"] * 12,
        ),
        "hostile": _sample(
            HOSTILE_CLASS,
            first_name=HOSTILE,
            child=HOSTILE,
            child_first_name=HOSTILE,
            refunds=[_refund(f"to {HOSTILE}")],
        ),
        "to_be_approved": _sample(SWIMMING, refunds=[_refund(is_approved=False)]),
        "as_credit": _sample(SWIMMING, **AS_CREDIT),
        "class_cancelled": _sample(
            SWIMMING,
            by_family=False,
            closed_because=CLOSED_BECAUSE,
            calendars=[calendar(SWIMMING, "CANCEL")],
        ),
        "nothing": _sample(SWIMMING, terms="nothing", by_family=False, **NO_MONEY),
        "not_charged": _sample(
            SWIMMING,
            **NO_MONEY
            | {
                "stopped_cents": 18_000,
                "stops": [{"due_on": "2026-10-28", "cents": 18_000, "left_cents": 0}],
            },
        ),
    }


def _sample(course: Snapshot, **changes: Any) -> Snapshot:
    facts = {
        "cancelled_at": "2026-09-10T14:03:00+00:00",
        "by_family": True,
        "closed_because": "",
        "terms": "refund",
        "price_cents": 18_000,
        "refund_cents": 9_000,
        "stopped_cents": 9_000,
        "refunds": [_refund()],
        "credit_cents": 0,
        "credit_until": None,
        "stops": [{"due_on": "2026-10-28", "cents": 17_900, "left_cents": 8_900}],
        "left": [
            {"due_on": "2026-09-28", "amount_cents": 17_900},
            {"due_on": "2026-10-28", "amount_cents": 8_900},
        ],
    }
    return enrollment(course) | facts | changes


def _refund(
    way_back: str = "to Visa ending in 4242", amount_cents: int = 9_000, *, is_approved: bool = True
) -> Snapshot:
    return {"amount_cents": amount_cents, "way_back": way_back, "is_approved": is_approved}


EMAIL = Email(
    kind="cancellation_confirmation",
    title=_("Cancellation confirmation"),
    when="the money of a cancelled place is settled",
    topic="places",
    trigger=Trigger(
        CancellationTransition,
        owes=lambda moved: moved.to_status == CancellationStatus.SETTLED,
        order="cancellation__order",
    ),
    required_for=RequiredFor(
        CancellationTransition.objects.filter(to_status="settled"), household="cancellation__order__household"
    ),
    recipients=lambda fact: guardians(fact.cancellation.order.household),
    family=attrgetter("cancellation.order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"enrollment:{fact.cancellation.enrollment_id}:cancelled",
    accent="grey",
    is_copy_harmless=False,
    expires=after(timedelta(days=7)),
    samples=samples(),
)
