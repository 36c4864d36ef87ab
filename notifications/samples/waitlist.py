"""The waitlist: joined, offered, lapsed, enrolled."""

from typing import Any

from notifications.facts.samples import (
    CLOSED_BECAUSE,
    HOSTILE,
    HOSTILE_CLASS,
    LONG,
    ORDER,
    SWIMMING,
)
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _waitlist(course: Context = SWIMMING, **facts: Any) -> Context:
    return course | {"first_name": "Maria", "child": "Noah Lopez", "child_first_name": "Noah"} | facts


def _waitlist_samples(typical: Context, **others: Context) -> dict[str, Context]:
    """The same facts for any family; `others` change some of them."""
    names: Context = {"child": f"{LONG} {LONG}", "child_first_name": LONG, "first_name": LONG}
    hostile = HOSTILE_CLASS | {"child": HOSTILE, "child_first_name": HOSTILE, "first_name": HOSTILE}
    return {
        "minimal": typical | {"first_name": "", "address": ""},
        "typical": typical,
        "huge": typical | names | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
        "hostile": typical | hostile,
    } | {name: typical | changes for name, changes in others.items()}


ENDS_AT = "2026-08-30T09:00:12+00:00"
JOINED = _waitlist(position=2, tier="regular", at_most_cents=None, leave_path="/account/waitlist/6f1b/leave/")
OFFERED = _waitlist(
    ends_at=ENDS_AT,
    price_cents=18_000,
    instead_of_charge=False,
    accept_path="/offer/IjZmMWI0YzFlLTUyYTctNGM0My05YTQzIg:1wB2xY:k3Jq8s/",
    decline_path="/offer/IjZmMWI0YzFlLTUyYTctNGM0My05YTQzIg:1wB2xY:k3Jq8s/decline/",
)
PROMOTED = _waitlist(amount_cents=18_000, card_brand="visa", card_last4="4242") | ORDER
CHARGE_FAILED = PROMOTED | {
    "failed_at": "2026-08-29T21:00:41+00:00",
    "held_until": ENDS_AT,
    "reason": "There was not enough money on the card.",
    "needs_auth": False,
    "is_declined": True,
}


SAMPLES: dict[str, Samples] = {
    EmailKind.WAITLIST_JOINED: _waitlist_samples(
        JOINED,
        priority={"tier": "priority", "at_most_cents": 18_000, "position": 1},
        card_is_missing={"at_most_cents": 18_000, "position": 13},
    ),
    EmailKind.WAITLIST_OFFER: _waitlist_samples(OFFERED, instead_of_charge={"instead_of_charge": True}),
    EmailKind.WAITLIST_LAPSED: _waitlist_samples(
        _waitlist(why="offer"),
        unpaid={"why": "unpaid"},
        closed={"why": "closed"},
        ended={"why": "ended"},
        started={"why": "started"},
        cancelled={"why": "cancelled", "closed_because": CLOSED_BECAUSE},
    ),
    EmailKind.WAITLIST_PROMOTED: _waitlist_samples(PROMOTED, free={"amount_cents": 0}),
    EmailKind.WAITLIST_CHARGE_FAILED: _waitlist_samples(
        CHARGE_FAILED,
        bank={"needs_auth": True, "is_declined": False},
        not_executed={"is_declined": False, "card_brand": "", "card_last4": ""},
    ),
}
