"""Families, classes and payments for the samples of emails, from the simplest to the worst.

Plain JSON values, like the snapshots that they stand for.
"""

import datetime
from typing import Any

from notifications.spec import Snapshot

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
SIBLING_DISCOUNT = "Sibling discount, 2nd child (25%)"
HOSTILE_CLASS = ROBOTICS | {"course": HOSTILE, "location": f"{HOSTILE} {LONG}", "address": HOSTILE}


def installment(**changes: Any) -> Snapshot:
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


def payment(**changes: Any) -> Snapshot:
    """A receipt."""
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


BARE: Snapshot = {"first_name": "", "card_brand": "", "card_last4": "", "places": [], "left_cents": 0}
HUGE: Snapshot = {
    "first_name": LONG,
    "amount_cents": 123_456_789,
    "left_cents": 1_234_567_890,
    "number": 12,
    "of": 12,
    "places": [{"child": f"{LONG} {n}", "course": f"{LONG} {LONG}"} for n in range(100)],
    "card_brand": "amex",
}
HOSTILE_FAMILY: Snapshot = {
    "first_name": HOSTILE,
    "card_brand": HOSTILE,
    "places": [{"child": HOSTILE, "course": HOSTILE}],
}


def card(**changes: Any) -> Snapshot:
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


CLOSED_BECAUSE = "The coach is ill for the rest of the season."


def calendar(course: Snapshot, method: str = "PUBLISH", off: int = 5) -> Snapshot:
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


def enrollment(course: Snapshot, **changes: Any) -> Snapshot:
    first_on = datetime.date.fromisoformat(course["first_on"])
    facts = {
        "first_name": "Maria",
        "child": "Noah Lopez",
        "child_first_name": "Noah",
        "sessions": 13,
        "dates": [(first_on + datetime.timedelta(weeks=week)).isoformat() for week in range(13)],
        "bring": ["a bottle of water", HOSTILE if course is HOSTILE_CLASS else "shoes with light soles"],
        "off": [],
        "calendars": [],
    }
    return ORDER | course | facts | changes
