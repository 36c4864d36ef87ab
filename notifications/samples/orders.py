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
    card,
    enrollment,
    installment,
)
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _overdue(**changes: Any) -> Context:
    """There is no card, or none that can be charged."""
    return installment(**changes) | {"card_brand": "", "card_last4": ""}


def _stopped(**changes: Any) -> Context:
    facts = card(by_family=False)
    facts["payments"] = facts.pop("missed")
    del facts["expires"]
    return facts | changes


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
    EmailKind.CARD_STOPPED: {
        "minimal": _stopped(first_name="", card_brand="", card_last4="", payments=_stopped()["payments"][:1]),
        "typical": _stopped(),
        "by_family": _stopped(by_family=True),
        "huge": _stopped(first_name=LONG, card_brand="amex", payments=_stopped()["payments"] * 30),
        "hostile": _stopped(first_name=HOSTILE, card_brand=HOSTILE),
    },
    EmailKind.CARD_NEEDED: {
        "minimal": installment(**BARE, reason="No card is saved for it."),
        "typical": installment(reason="The card has expired."),
        "huge": installment(**HUGE, reason="The card is no longer saved with our payment provider."),
        "hostile": installment(**HOSTILE_FAMILY, reason=HOSTILE),
    },
    EmailKind.AUTHENTICATION_NEEDED: {
        "minimal": installment(**BARE, status="needs_auth"),
        "typical": installment(status="needs_auth"),
        "huge": installment(**HUGE, status="needs_auth"),
        "hostile": installment(**HOSTILE_FAMILY, status="needs_auth"),
    },
    EmailKind.INSTALLMENT_REMINDER: {
        "minimal": installment(**BARE, will_charge=False),
        "typical": installment(status="scheduled", will_charge=True),
        "huge": installment(**HUGE, will_charge=True),
        "hostile": installment(**HOSTILE_FAMILY, will_charge=True),
        "no_good_card": installment(will_charge=False),
    },
    EmailKind.OVERDUE_NOTICE: {
        "minimal": _overdue(**BARE, days=3, waits_for="exhausted"),
        "typical": _overdue(days=7, waits_for="needs_card"),
        "huge": _overdue(**HUGE, days=14, waits_for="needs_auth"),
        "hostile": _overdue(**HOSTILE_FAMILY, days=3, waits_for="needs_card"),
        "bank": _overdue(days=7, waits_for="needs_auth"),
        "staff": _overdue(days=14, waits_for="exhausted"),
    },
    EmailKind.CARD_EXPIRING: {
        "minimal": card(first_name="", card_brand="", card_last4="", missed=[card()["missed"][0]]),
        "typical": card(),
        "huge": card(first_name=LONG, card_brand="amex", missed=card()["missed"] * 30),
        "hostile": card(first_name=HOSTILE, card_brand=HOSTILE),
    },
}
