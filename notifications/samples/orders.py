"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

from notifications.facts.samples import (
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
}
