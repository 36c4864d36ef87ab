"""Classes that start soon or move, and the digest for staff."""

from notifications.kinds import EmailKind
from notifications.samples.orders import (
    HOSTILE,
    HOSTILE_CLASS,
    LONG,
    ROBOTICS,
    SWIMMING,
    Context,
    calendar,
)

# --- Starts soon --------------------------------------------------------------------------------------------


def _start(course: Context = SWIMMING, **changes: object) -> Context:
    told = {
        "first_name": "Maria",
        "child": "Noah Lopez",
        "child_first_name": "Noah",
        "starts_on": course["first_on"],
        "session_start": course["start_time"],
        "session_end": course["end_time"],
        "bring": ["A swimsuit and a towel", "Goggles, if there are some at home"],
        "calendars": [calendar(course)],
    }
    return course | told | changes


STARTS = {
    "minimal": _start(first_name="", address="", bring=[], calendars=[]),
    "typical": _start(),
    "huge": _start(
        ROBOTICS | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
        first_name=LONG,
        child=f"{LONG} {LONG}",
        child_first_name=LONG,
        bring=[f"{LONG} {number}" for number in range(40)],
    ),
    "hostile": _start(
        HOSTILE_CLASS, first_name=HOSTILE, child=HOSTILE, child_first_name=HOSTILE, bring=[HOSTILE, HOSTILE]
    ),
}

# --- Moves --------------------------------------------------------------------------------------------------

PLAN = ("location", "address", "weekday", "start_time", "end_time", "first_on", "last_on")


def _dates(*days: str, start: str = "16:30:00", end: str = "17:15:00") -> list[Context]:
    return [{"on": on, "from": start, "to": end} for on in days]


def _move(course: Context = SWIMMING, was: Context | None = None, **changes: object) -> Context:
    told = {
        "first_name": "Maria",
        "children": ["Noah Lopez"],
        "was": {name: course[name] for name in PLAN} | (was or {}),
        "is_elsewhere": False,
        "is_at_other_times": False,
        "has_more_dates": False,
        "has_fewer_dates": False,
        "gone": [],
        "dates": [],
        "reason": "The pool is being repaired until June.",
        "calendars": [calendar(course)],
    }
    return course | told | changes


ELSEWHERE: Context = {"location": "Old Mill", "address": "1 Mill Lane, Springfield"}
AT_OTHER_TIMES: Context = {"weekday": "Tuesday", "start_time": "15:00:00", "end_time": "15:45:00"}
GONE = _dates("2026-09-15", "2026-09-22", start="15:00:00", end="15:45:00")
DATES = _dates("2026-09-16", "2026-09-23", "2026-09-30")
MOVES = {
    "minimal": _move(
        was=ELSEWHERE, is_elsewhere=True, first_name="", address="", calendars=[], children=["Noah"]
    ),
    "typical": _move(
        was=ELSEWHERE | AT_OTHER_TIMES,
        is_elsewhere=True,
        is_at_other_times=True,
        gone=GONE,
        dates=DATES,
        children=["Noah Lopez", "Emma Lopez"],
        calendars=[calendar(SWIMMING), calendar(SWIMMING)],
    ),
    "other_times": _move(was=AT_OTHER_TIMES, is_at_other_times=True, gone=GONE, dates=DATES),
    "one_session": _move(
        is_at_other_times=True, gone=_dates("2026-09-23"), dates=_dates("2026-09-16", "2026-09-24")
    ),
    "extended": _move(was={"last_on": "2026-11-11"}, has_more_dates=True, dates=DATES),
    "shortened": _move(was={"last_on": "2027-01-13"}, has_fewer_dates=True, gone=GONE, dates=DATES),
    "huge": _move(
        ROBOTICS | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
        was={"location": f"{LONG} {LONG}", "weekday": "Sunday"},
        is_elsewhere=True,
        is_at_other_times=True,
        first_name=LONG,
        children=[f"{LONG} {LONG} {number}" for number in range(10)],
        gone=GONE * 50,
        dates=DATES * 50,
        reason=f"{LONG} " * 4,
    ),
    "hostile": _move(
        HOSTILE_CLASS,
        was={"location": HOSTILE, "address": HOSTILE},
        is_elsewhere=True,
        first_name=HOSTILE,
        children=[HOSTILE],
        reason=HOSTILE,
    ),
}

# --- Staff --------------------------------------------------------------------------------------------------

TASKS = "/admin/csf/stafftask/"


def _task(title: str, count: int, kind: str) -> Context:
    return {"title": title, "count": count, "path": f"{TASKS}?state=open&kind__exact={kind}"}


def _digest(**changes: object) -> Context:
    told: Context = {
        "first_name": "",
        "count": 4,
        "alerts": [
            {
                "name": "emails_late",
                "text": "emails are overdue for more than 0:15:00",
                "is_urgent": True,
            }
        ],
        "alerts_path": "/admin/notifications/alert/",
        "tasks": [
            _task("An address that takes no mail", 2, "email_bounced"),
            _task("A refund to approve or reject", 1, "refund_to_approve"),
        ],
        "tasks_path": f"{TASKS}?state=open",
        "open": 7,
    }
    return told | changes


DIGESTS = {
    "minimal": _digest(count=1, alerts=[], tasks=[_task("A refund to approve or reject", 1, "x")], open=1),
    "typical": _digest(),
    "only_alerts": _digest(count=1, tasks=[], open=0),
    "huge": _digest(
        count=123_456,
        alerts=[{"name": f"sign_{n}", "text": f"{LONG} " * 3, "is_urgent": n % 2 == 0} for n in range(14)],
        tasks=[_task(f"{LONG} {n}", 123_456, "email_bounced") for n in range(24)],
        open=1_234_567,
    ),
    "hostile": _digest(alerts=[{"name": HOSTILE, "text": HOSTILE, "is_urgent": False}]),
}

SAMPLES = {
    EmailKind.CLASS_STARTS_SOON: STARTS,
    EmailKind.CLASS_MOVED: MOVES,
    EmailKind.STAFF_ALERT: DIGESTS,
}
