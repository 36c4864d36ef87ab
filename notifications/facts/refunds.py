"""What the two emails about a refund share."""

from typing import Any

from billing.models import PaymentMethod, RefundTransition
from enrollments.models import User
from notifications.facts.recipients import guardians
from notifications.facts.samples import HOSTILE, LONG, ORDER
from notifications.facts.snapshots import order_facts
from notifications.spec import Samples, Snapshot

ORDER_OF = "refund__order"
FAMILY = "refund.order.household_id"


def family(fact: RefundTransition) -> list[User]:
    return guardians(fact.refund.order.household)


def key(fact: RefundTransition) -> str:
    return f"refund:{fact.refund_id}"


def snapshot(fact: RefundTransition) -> Snapshot:
    refund = fact.refund
    cancellation = refund.cancellation
    return order_facts(refund.order) | {
        "amount_cents": refund.amount_cents,
        "by_card": refund.method == PaymentMethod.STRIPE,
        "way_back": refund.way_back,
        "cause": refund.cause,
        "paid_at": refund.payment.received_at.isoformat(),
        "happened_at": fact.created_at.isoformat(),
        "reference": str(refund.public_id)[:8].upper(),
        "child": str(cancellation.enrollment.child) if cancellation else "",
        "course": cancellation.enrollment.course.title if cancellation else "",
    }


def _refund(**changes: Any) -> Snapshot:
    return (
        ORDER
        | {
            "first_name": "Maria",
            "amount_cents": 9_000,
            "by_card": True,
            "way_back": "to Visa ending in 4242",
            "cause": "cancellation",
            "paid_at": "2026-08-29T21:07:41+00:00",
            "happened_at": "2026-09-11T13:15:02+00:00",
            "reference": "5B0E77A1",
            "child": "Noah Lopez",
            "course": "Swimming, Level 2",
        }
        | changes
    )


SAMPLES: Samples = {
    "minimal": _refund(first_name="", child="", course=""),
    "typical": _refund(),
    "huge": _refund(first_name=LONG, amount_cents=123_456_789, child=f"{LONG} {LONG}", course=LONG),
    "hostile": _refund(first_name=HOSTILE, way_back=f"to {HOSTILE}", child=HOSTILE, course=HOSTILE),
    "too_late": _refund(cause="unmatched", child="", course=""),
    "in_cash": _refund(by_card=False, way_back="in cash"),
}
