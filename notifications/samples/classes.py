"""Classes that start soon or move, and the digest for staff."""

from notifications.facts.samples import (
    HOSTILE,
    LONG,
)
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context

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

SAMPLES: dict[str, Samples] = {
    EmailKind.STAFF_ALERT: DIGESTS,
}
