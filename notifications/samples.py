"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

import datetime
from typing import Any

from notifications.kinds import EmailKind

Context = dict[str, Any]

HOSTILE = '<script>alert("x")</script> & שרה 🎻\r\nBcc: all@example.org'
LONG = "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh-Cholmondeley"
ORDER = {"order_number": "K7M2P9QX", "order_path": "/account/orders/6f1b4c1e-52a7-4c43-9a43-0d0b6f0e7c11/"}
ROBOTICS = {
    "course": "Robotics for Beginners",
    "course_path": "/classes/robotics-for-beginners/",
    "location": "Harbour Hall",
    "address": "12 Harbour Street, Springfield",
    "weekday": "Saturday",
    "start_time": "10:00:00",
    "end_time": "11:30:00",
    "first_on": "2026-09-12",
    "last_on": "2026-12-12",
}
SWIMMING = {
    "course": "Swimming, Level 2",
    "course_path": "/classes/swimming-level-2/",
    "location": "Springfield Pool",
    "address": "4 Lake Road, Springfield",
    "weekday": "Wednesday",
    "start_time": "16:30:00",
    "end_time": "17:15:00",
    "first_on": "2026-09-16",
    "last_on": "2026-11-18",
}
SIBLING = "Sibling discount, 2nd child (25%)"
HOSTILE_CLASS = ROBOTICS | {"course": HOSTILE, "location": f"{HOSTILE} {LONG}", "address": HOSTILE}


def _line(course: Context, child: str, list_cents: int, off_cents: int = 0, label: str = SIBLING) -> Context:
    return course | {
        "child": child,
        "list_cents": list_cents,
        "net_cents": list_cents - off_cents,
        "reductions": [{"label": label, "cents": off_cents}] if off_cents else [],
    }


def _order(lines: list[Context], parts: int = 1, **changes: Any) -> Context:
    total = sum(line["net_cents"] for line in lines)
    return (
        ORDER
        | {
            "first_name": "Maria",
            "placed_at": "2026-08-29T21:00:12+00:00",
            "held_until": "2026-08-29T21:35:12+00:00" if total else None,
            "lines": lines,
            "total_cents": total,
            "schedule": _schedule(total, parts) if total else [],
        }
        | changes
    )


def _schedule(total: int, parts: int) -> list[Context]:
    each = total // parts
    return [
        {
            "number": number,
            "of": parts,
            "due_on": "2026-08-29"
            if number == 1
            else f"{2026 + (7 + number) // 12}-{(7 + number) % 12 + 1:02}-28",
            "amount_cents": each if number > 1 else total - each * (parts - 1),
            "status": "scheduled",
        }
        for number in range(1, parts + 1)
    ]


def _payment(**changes: Any) -> Context:
    return (
        ORDER
        | {
            "first_name": "Maria",
            "amount_cents": 17_900,
            "received_at": "2026-08-29T21:07:41+00:00",
            "card_brand": "visa",
            "card_last4": "4242",
            "reference": "8C2E51F0",
            "number": 1,
            "of": 3,
            "left_cents": 35_800,
            "next_due_on": "2026-09-28",
            "next_amount_cents": 17_900,
        }
        | changes
    )


def _decline(**changes: Any) -> Context:
    return (
        ORDER
        | {
            "first_name": "Maria",
            "amount_cents": 53_700,
            "failed_at": "2026-08-29T21:07:41+00:00",
            "card_brand": "visa",
            "card_last4": "9995",
            "reason": "There was not enough money on the card.",
            "held_until": "2026-08-29T21:35:12+00:00",
        }
        | changes
    )


def _installment(**changes: Any) -> Context:
    """What all emails about an installment have."""
    return (
        ORDER
        | {
            "first_name": "Maria",
            "number": 2,
            "of": 3,
            "due_on": "2026-09-28",
            "amount_cents": 17_900,
            "left_cents": 35_800,
            "status": "retry_wait",
            "pay_path": "/pay/IjZmMWI0YzFlLTUyYTctNGM0My05YTQzIg:1wB2xY:k3Jq8s/",
            "card_path": "/account/card/",
            "places": [
                {"child": "Noah Lopez", "course": "Robotics for Beginners"},
                {"child": "Emma Lopez", "course": "Swimming, Level 2"},
            ],
            "card_brand": "visa",
            "card_last4": "4242",
        }
        | changes
    )


def _charge_decline(**changes: Any) -> Context:
    told = {
        "failed_at": "2026-09-28T14:00:41+00:00",
        "reason": "There was not enough money on the card.",
        "stage": 1,
        "next_try_on": "2026-10-01",
        "is_final": False,
    }
    return _installment() | told | changes


def _page_decline(**changes: Any) -> Context:
    told = {
        "failed_at": "2026-09-28T14:00:41+00:00",
        "reason": "There was not enough money on the card.",
        "on_page": True,
        "charge_on": "2026-10-01",
    }
    return _installment() | told | changes


def _overdue(**changes: Any) -> Context:
    """There is no card, or none that can be charged."""
    return _installment(**changes) | {"card_brand": "", "card_last4": ""}


BARE: Context = {"first_name": "", "card_brand": "", "card_last4": "", "places": [], "left_cents": 0}
HUGE: Context = {
    "first_name": LONG,
    "amount_cents": 123_456_789,
    "left_cents": 1_234_567_890,
    "number": 12,
    "of": 12,
    "places": [{"child": f"{LONG} {n}", "course": f"{LONG} {LONG}"} for n in range(100)],
    "card_brand": "amex",
}
HOSTILE_FAMILY: Context = {
    "first_name": HOSTILE,
    "card_brand": HOSTILE,
    "places": [{"child": HOSTILE, "course": HOSTILE}],
}


def _card(**changes: Any) -> Context:
    return (
        ORDER
        | {
            "first_name": "Maria",
            "card_brand": "visa",
            "card_last4": "4242",
            "expires": "09/2026",
            "card_path": "/account/card/",
            "missed": [
                {"due_on": "2026-10-28", "amount_cents": 17_900, "order_number": "K7M2P9QX"},
                {"due_on": "2026-11-28", "amount_cents": 17_900, "order_number": "K7M2P9QX"},
            ],
        }
        | changes
    )


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
    return _enrollment(course) | told | changes


CLOSED_BECAUSE = "The coach is ill for the rest of the season."


def _calendar(course: Context, method: str = "PUBLISH", off: int = 5) -> Context:
    first_on = datetime.date.fromisoformat(course["first_on"])
    days = [first_on + datetime.timedelta(weeks=week) for week in range(14)]
    return {
        "method": method,
        "uid": "6f1b4c1e-52a7-4c43-9a43-0d0b6f0e7c11",
        "sequence": 2,
        "made_at": "2026-08-29T21:07:41+00:00",
        "title": f"{course['course']} (Noah)",
        "place": f"{course['location']}, {course['address']}",
        "path": course["course_path"],
        "sessions": [
            {
                "on": day.isoformat(),
                "from": course["start_time"],
                "to": course["end_time"],
                "is_off": number == off,
            }
            for number, day in enumerate(days)
        ],
    }


def _session_off(course: Context = ROBOTICS, **changes: Any) -> Context:
    told = {
        "held_on": "2026-10-17",
        "session_start": "10:00:00",
        "session_end": "11:30:00",
        "reason": "The coach is ill.",
        "credit_cents": 1_800,
        "credit_until": "2027-10-12",
        "account_path": "/account/",
        "next_on": "2026-10-24",
        "calendars": [_calendar(course)],
    }
    return _enrollment(course) | told | changes


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


def _refund(**changes: Any) -> Context:
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


def _refunds() -> dict[str, Context]:
    hostile = {"first_name": HOSTILE, "way_back": f"to {HOSTILE}", "child": HOSTILE, "course": HOSTILE}
    return {
        "minimal": _refund(first_name="", child="", course=""),
        "typical": _refund(),
        "huge": _refund(first_name=LONG, amount_cents=123_456_789, child=f"{LONG} {LONG}", course=LONG),
        "hostile": _refund(**hostile),
        "too_late": _refund(cause="unmatched", child="", course=""),
        "in_cash": _refund(by_card=False, way_back="in cash"),
    }


def _enrollment(course: Context, **changes: Any) -> Context:
    child = {"first_name": "Maria", "child": "Noah Lopez", "child_first_name": "Noah", "sessions": 13}
    return ORDER | course | child | changes


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


def _account(**facts: Any) -> dict[str, Context]:
    """Of the account kinds only the name differs."""
    names = {"minimal": "", "typical": "Maria", "huge": LONG, "hostile": HOSTILE}
    return {sample: facts | {"first_name": name} for sample, name in names.items()}


def _credit(**changes: Any) -> Context:
    return {
        "first_name": "Maria",
        "amount_cents": 3_000,
        "reason": "For the session without a coach",
        "until": "2027-09-20",
        "balance_cents": 4_500,
        "account_path": "/account/",
    } | changes


def _move(course: Context = SWIMMING, **changes: Any) -> Context:
    told = {
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
    return _enrollment(course) | told | changes


MOVES: dict[str, Context] = {
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


SAMPLES: dict[EmailKind, dict[str, Context]] = {
    EmailKind.ORDER_CONFIRMATION: {
        "minimal": _order([_line(ROBOTICS, "Noah Lopez", 0)], first_name="", placed_at=None),
        "typical": _order(
            [
                _line(ROBOTICS, "Noah Lopez", 24_000),
                _line(SWIMMING, "Noah Lopez", 18_000),
                _line(SWIMMING, "Emma Lopez", 18_000, 4_500),
            ],
            parts=3,
        ),
        "huge": _order([_line(SWIMMING, f"{LONG} {n}", 123_456, 12_345) for n in range(100)], parts=12),
        "hostile": _order(
            [_line(HOSTILE_CLASS, HOSTILE, 24_000, 12_000, HOSTILE)], parts=2, first_name=HOSTILE
        ),
    },
    EmailKind.PAYMENT_SUCCESS: {
        "minimal": _payment(first_name="", card_brand="", card_last4="", number=None, of=0, left_cents=0),
        "typical": _payment(),
        "huge": _payment(
            first_name=LONG, amount_cents=123_456_789, number=12, of=12, left_cents=0, card_brand="amex"
        ),
        "hostile": _payment(first_name=HOSTILE, card_brand=HOSTILE),
    },
    EmailKind.ENROLLMENT_CONFIRMATION: {
        "minimal": _enrollment(ROBOTICS, first_name="", address="", sessions=0),
        "typical": _enrollment(SWIMMING, calendars=[_calendar(SWIMMING)]),
        "with_a_session_off": _enrollment(SWIMMING, off=["2026-10-21"], calendars=[_calendar(SWIMMING)]),
        "huge": _enrollment(
            ROBOTICS | {"course": f"{LONG} {LONG} {LONG}", "location": LONG, "address": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            sessions=104,
        ),
        "hostile": _enrollment(HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE),
    },
    EmailKind.PAYMENT_FAILED: {
        "minimal": _decline(first_name="", card_brand="", card_last4="", held_until=None),
        "typical": _decline(),
        "huge": _decline(first_name=LONG, amount_cents=123_456_789, card_brand="amex"),
        "hostile": _decline(first_name=HOSTILE, card_brand=HOSTILE, reason=HOSTILE),
        "saved_card_minimal": _charge_decline(**BARE, next_try_on=None),
        "first_notice": _charge_decline(),
        "second_notice": _charge_decline(stage=2, next_try_on="2026-10-05"),
        "last_try_ahead": _charge_decline(stage=3, next_try_on="2026-10-12"),
        "final_notice": _charge_decline(stage=4, next_try_on=None, is_final=True),
        "another_card": _charge_decline(next_try_on=None, reason="The card has expired."),
        "invoice_page": _page_decline(),
        "invoice_page_minimal": _page_decline(**BARE, charge_on=None),
        "invoice_page_huge": _page_decline(**HUGE),
        "invoice_page_hostile": _page_decline(**HOSTILE_FAMILY, reason=HOSTILE),
        "saved_card_huge": _charge_decline(**HUGE),
        "saved_card_hostile": _charge_decline(**HOSTILE_FAMILY, reason=HOSTILE),
    },
    EmailKind.AUTHENTICATION_NEEDED: {
        "minimal": _installment(**BARE, status="needs_auth"),
        "typical": _installment(status="needs_auth"),
        "huge": _installment(**HUGE, status="needs_auth"),
        "hostile": _installment(**HOSTILE_FAMILY, status="needs_auth"),
    },
    EmailKind.INSTALLMENT_REMINDER: {
        "minimal": _installment(**BARE, will_charge=False),
        "typical": _installment(status="scheduled", will_charge=True),
        "huge": _installment(**HUGE, will_charge=True),
        "hostile": _installment(**HOSTILE_FAMILY, will_charge=True),
        "no_good_card": _installment(will_charge=False),
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
        "minimal": _card(first_name="", card_brand="", card_last4="", missed=[_card()["missed"][0]]),
        "typical": _card(),
        "huge": _card(first_name=LONG, card_brand="amex", missed=_card()["missed"] * 30),
        "hostile": _card(first_name=HOSTILE, card_brand=HOSTILE),
    },
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
            calendars=[_calendar(SWIMMING, "CANCEL")],
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
    EmailKind.SESSION_CANCELLED: {
        "minimal": _session_off(
            first_name="", credit_cents=0, credit_until=None, next_on=None, address="", calendars=[]
        ),
        "typical": _session_off(),
        "huge": _session_off(
            first_name=LONG, child=f"{LONG} {LONG}", child_first_name=LONG, reason=f"{LONG} " * 2
        ),
        "hostile": _session_off(
            HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE, reason=HOSTILE
        ),
    },
    EmailKind.REFUND_ISSUED: _refunds(),
    EmailKind.REFUND_REJECTED: _refunds(),
    EmailKind.CREDIT_ADDED: {
        "minimal": _credit(first_name="", reason="", until=None, balance_cents=3_000),
        "typical": _credit(),
        "huge": _credit(first_name=LONG, reason=f"{LONG} " * 4, amount_cents=123_456_789),
        "hostile": _credit(first_name=HOSTILE, reason=HOSTILE),
    },
    EmailKind.TRANSFER_CONFIRMATION: MOVES,
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
        cancelled={"why": "cancelled", "closed_because": CLOSED_BECAUSE},
    ),
    EmailKind.WAITLIST_PROMOTED: _waitlist_samples(PROMOTED, free={"amount_cents": 0}),
    EmailKind.WAITLIST_CHARGE_FAILED: _waitlist_samples(
        CHARGE_FAILED,
        bank={"needs_auth": True, "is_declined": False},
        not_executed={"is_declined": False, "card_brand": "", "card_last4": ""},
    ),
    EmailKind.WELCOME: _account(children_path="/account/children/"),
    EmailKind.ACCOUNT_CONFIRM_EMAIL: _account(code="048213", minutes=15),
    EmailKind.ACCOUNT_LOGIN_CODE: _account(code="730915", minutes=10),
    EmailKind.ACCOUNT_PASSWORD_RESET: _account(
        reset_path="/account/password/reset/key/4f-cyq8l1-0b2d7c6f3a/", minutes=60
    ),
    EmailKind.ACCOUNT_NOTICE: _account(
        event="password_changed", happened_at="2026-08-29T21:07:41+00:00", new_email="", minutes=1440
    ),
}
