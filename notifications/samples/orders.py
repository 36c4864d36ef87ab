"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

from typing import Any

from notifications.facts.samples import (
    BARE,
    HOSTILE,
    HOSTILE_CLASS,
    HOSTILE_FAMILY,
    HUGE,
    LONG,
    ROBOTICS,
    SWIMMING,
    calendar,
    enrollment,
    installment,
)
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _overdue(**changes: Any) -> Context:
    """There is no card, or none that can be charged."""
    return installment(**changes) | {"card_brand": "", "card_last4": ""}


SAMPLES: dict[str, Samples] = {
    EmailKind.ENROLLMENT_CONFIRMATION: {
        "minimal": enrollment(ROBOTICS, first_name="", address="", sessions=0),
        "typical": enrollment(SWIMMING, calendars=[calendar(SWIMMING)]),
        "with_a_session_off": enrollment(SWIMMING, off=["2026-10-21"], calendars=[calendar(SWIMMING)]),
        "huge": enrollment(
            ROBOTICS | {"course": f"{LONG} {LONG} {LONG}", "location": LONG, "address": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            sessions=104,
        ),
        "hostile": enrollment(HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE),
    },
    EmailKind.OVERDUE_NOTICE: {
        "minimal": _overdue(**BARE, days=3, waits_for="exhausted"),
        "typical": _overdue(days=7, waits_for="needs_card"),
        "huge": _overdue(**HUGE, days=14, waits_for="needs_auth"),
        "hostile": _overdue(**HOSTILE_FAMILY, days=3, waits_for="needs_card"),
        "bank": _overdue(days=7, waits_for="needs_auth"),
        "staff": _overdue(days=14, waits_for="exhausted"),
    },
}
