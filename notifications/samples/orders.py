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


def _expired(places: list[Context], **changes: Any) -> Context:
    told = {
        "first_name": "Maria",
        "held_until": "2026-08-29T21:35:12+00:00",
        "classes_path": "/",
        "places": places,
    }
    return ORDER | told | changes


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
            "places": [ROBOTICS | {"child": "Noah Lopez"}, SWIMMING | {"child": "Emma Lopez"}],
        }
        | changes
    )


def _paid(places: list[Context], **changes: Any) -> Context:
    calendars = [calendar(place) for place in places[:3]]
    return _payment(**{"enrolled": [enrollment(place) for place in places], "calendars": calendars} | changes)


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


def _stopped(**changes: Any) -> Context:
    facts = _card(by_family=False)
    facts["payments"] = facts.pop("missed")
    del facts["expires"]
    return facts | changes


CLOSED_BECAUSE = "The coach is ill for the rest of the season."


def calendar(course: Context, method: str = "PUBLISH", off: int = 5) -> Context:
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


def enrollment(course: Context, **changes: Any) -> Context:
    first_on = datetime.date.fromisoformat(course["first_on"])
    told = {
        "first_name": "Maria",
        "child": "Noah Lopez",
        "child_first_name": "Noah",
        "sessions": 13,
        "dates": [(first_on + datetime.timedelta(weeks=week)).isoformat() for week in range(13)],
        "bring": ["a bottle of water", HOSTILE if course is HOSTILE_CLASS else "shoes with light soles"],
    }
    return ORDER | course | told | changes


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
    EmailKind.ORDER_EXPIRED: {
        "minimal": _expired([SWIMMING | {"child": "Noah Lopez"}], first_name="", held_until=None),
        "typical": _expired([ROBOTICS | {"child": "Noah Lopez"}, SWIMMING | {"child": "Emma Lopez"}]),
        "huge": _expired([ROBOTICS | {"course": LONG, "child": f"{LONG} {n}"} for n in range(100)]),
        "hostile": _expired([HOSTILE_CLASS | {"child": HOSTILE}], first_name=HOSTILE),
    },
    EmailKind.ORDER_PAID: {
        "minimal": _paid([SWIMMING | {"address": ""}], first_name="", left_cents=0, number=1, of=1),
        "typical": _paid([ROBOTICS, SWIMMING]),
        "huge": _paid([ROBOTICS | {"course": LONG}] * 12, first_name=LONG, amount_cents=123_456_789),
        "hostile": _paid([HOSTILE_CLASS], first_name=HOSTILE, card_brand=HOSTILE),
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
    EmailKind.CARD_STOPPED: {
        "minimal": _stopped(first_name="", card_brand="", card_last4="", payments=_stopped()["payments"][:1]),
        "typical": _stopped(),
        "by_family": _stopped(by_family=True),
        "huge": _stopped(first_name=LONG, card_brand="amex", payments=_stopped()["payments"] * 30),
        "hostile": _stopped(first_name=HOSTILE, card_brand=HOSTILE),
    },
    EmailKind.CARD_NEEDED: {
        "minimal": _installment(**BARE, reason="No card is saved for it."),
        "typical": _installment(reason="The card has expired."),
        "huge": _installment(**HUGE, reason="The card is no longer saved with our payment provider."),
        "hostile": _installment(**HOSTILE_FAMILY, reason=HOSTILE),
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
}
