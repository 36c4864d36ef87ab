"""Places given up, moved or not held, and the money that comes of it."""

from typing import Any

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
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _cancellation(course: Context, **changes: Any) -> Context:
    told = {
        "cancelled_at": "2026-09-10T14:03:00+00:00",
        "by_family": True,
        "closed_because": "",
        "terms": "refund",
        "price_cents": 18_000,
        "refund_cents": 9_000,
        "stopped_cents": 9_000,
        "refunds": [{"amount_cents": 9_000, "way_back": "to Visa ending in 4242"}],
        "credit_cents": 0,
        "credit_until": None,
        "stops": [{"due_on": "2026-10-28", "cents": 17_900, "left_cents": 8_900}],
        "left": [
            {"due_on": "2026-09-28", "amount_cents": 17_900},
            {"due_on": "2026-10-28", "amount_cents": 8_900},
        ],
    }
    return enrollment(course) | told | changes


NO_MONEY: Context = {
    "refund_cents": 0,
    "stopped_cents": 0,
    "refunds": [],
    "credit_cents": 0,
    "stops": [],
    "left": [],
}
AS_CREDIT: Context = NO_MONEY | {
    "terms": "prorated",
    "by_family": False,
    "credit_cents": 7_200,
    "credit_until": "2027-09-20",
}


SAMPLES: dict[str, Samples] = {
    EmailKind.CANCELLATION_CONFIRMATION: {
        "minimal": _cancellation(ROBOTICS, first_name="", address="", price_cents=0, **NO_MONEY),
        "typical": _cancellation(SWIMMING),
        "huge": _cancellation(
            ROBOTICS | {"course": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            refunds=[{"amount_cents": 123_456, "way_back": "to Amex ending in 0005"}] * 12,
            stops=_cancellation(SWIMMING)["stops"] * 12,
            left=_cancellation(SWIMMING)["left"] * 12,
        ),
        "hostile": _cancellation(
            HOSTILE_CLASS,
            first_name=HOSTILE,
            child=HOSTILE,
            child_first_name=HOSTILE,
            refunds=[{"amount_cents": 9_000, "way_back": f"to {HOSTILE}"}],
        ),
        "as_credit": _cancellation(SWIMMING, **AS_CREDIT),
        "class_does_not_take_place": _cancellation(
            SWIMMING,
            by_family=False,
            closed_because=CLOSED_BECAUSE,
            calendars=[calendar(SWIMMING, "CANCEL")],
        ),
        "nothing": _cancellation(SWIMMING, terms="nothing", by_family=False, **NO_MONEY),
        "not_charged": _cancellation(
            SWIMMING,
            **NO_MONEY
            | {
                "stopped_cents": 18_000,
                "stops": [{"due_on": "2026-10-28", "cents": 18_000, "left_cents": 0}],
            },
        ),
    },
}
