"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

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
HOSTILE_CLASS = ROBOTICS | {"course": HOSTILE, "location": f"{HOSTILE} {LONG}", "address": HOSTILE}


def _line(course: Context, child: str, list_cents: int, net_cents: int | None = None) -> Context:
    return course | {
        "child": child,
        "list_cents": list_cents,
        "net_cents": list_cents if net_cents is None else net_cents,
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
        }
        | changes
    )


def _enrollment(course: Context, **changes: Any) -> Context:
    child = {"first_name": "Maria", "child": "Noah Lopez", "child_first_name": "Noah", "sessions": 13}
    return ORDER | course | child | changes


SAMPLES: dict[EmailKind, dict[str, Context]] = {
    EmailKind.ORDER_CONFIRMATION: {
        "minimal": _order([_line(ROBOTICS, "Noah Lopez", 0)], first_name="", placed_at=None),
        "typical": _order(
            [
                _line(ROBOTICS, "Noah Lopez", 24_000),
                _line(SWIMMING, "Noah Lopez", 18_000),
                _line(SWIMMING, "Emma Lopez", 18_000, 16_200),
            ],
            parts=3,
        ),
        "huge": _order([_line(SWIMMING, f"{LONG} {n}", 123_456, 111_111) for n in range(100)], parts=12),
        "hostile": _order([_line(HOSTILE_CLASS, HOSTILE, 24_000, 12_000)], parts=2, first_name=HOSTILE),
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
        "typical": _enrollment(SWIMMING),
        "huge": _enrollment(
            ROBOTICS | {"course": f"{LONG} {LONG} {LONG}", "location": LONG, "address": LONG},
            first_name=LONG,
            child=f"{LONG} {LONG}",
            child_first_name=LONG,
            sessions=104,
        ),
        "hostile": _enrollment(HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE),
    },
}
