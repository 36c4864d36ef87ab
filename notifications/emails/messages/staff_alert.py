"""The digest of what is new for staff: counts and links, no names and no addresses of families."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from csf import clock
from csf.models import StaffTask, kind_title
from enrollments.models import User
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import HOSTILE, LONG
from notifications.models import Alert
from notifications.spec import Email, Samples, Snapshot, after

WINDOW = timedelta(minutes=15)


@dataclass(frozen=True)
class Digest:
    """What one address gets. It is not a row; the tasks and alerts store when they were emailed."""

    window: int
    number: int
    """Of the address in STAFF_ALERT_EMAILS."""
    facts: Snapshot

    @property
    def pk(self) -> int:
        return self.window

    @property
    def recipients(self) -> list[User]:
        """Unsaved: an address here needs no account."""
        return [User(email=settings.STAFF_ALERT_EMAILS[self.number])]


def digests(tasks: Iterable[StaffTask], alerts: Iterable[Alert]) -> list[Digest]:
    """One for each address; none if nothing is new."""
    facts = _facts(Counter(task.kind for task in tasks), list(alerts))
    window = int(clock.now().timestamp() // WINDOW.total_seconds())
    addresses = range(len(settings.STAFF_ALERT_EMAILS)) if facts["count"] else []
    return [Digest(window, number, facts) for number in addresses]


def _facts(tasks: Counter[str], alerts: list[Alert]) -> Snapshot:
    # An alert worth a call comes with its warning: the last one counts.
    by_name = {
        alert.title: alert for alert in sorted(alerts, key=lambda alert: alert.level == Alert.Level.PAGE)
    }
    all_tasks = reverse("admin:csf_stafftask_changelist")
    return {
        "count": tasks.total() + len(by_name),
        "alerts": [
            {"name": alert.title, "text": alert.words, "is_urgent": alert.level == Alert.Level.PAGE}
            for alert in by_name.values()
        ],
        "alerts_path": reverse("admin:notifications_alert_changelist"),
        "tasks": [
            {
                "title": kind_title(kind),
                "count": count,
                "path": f"{all_tasks}?{urlencode({'state': 'open', 'kind__exact': kind})}",
            }
            for kind, count in sorted(tasks.items())
        ],
        "tasks_path": f"{all_tasks}?state=open",
        "open": StaffTask.objects.open().count(),
    }


TASKS_PATH = "/admin/csf/stafftask/"


def _task(title: str, count: int, kind: str) -> Snapshot:
    return {"title": title, "count": count, "path": f"{TASKS_PATH}?state=open&kind__exact={kind}"}


def _digest(**changes: object) -> Snapshot:
    facts: Snapshot = {
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
        "tasks_path": f"{TASKS_PATH}?state=open",
        "open": 7,
    }
    return facts | changes


SAMPLES: Samples = {
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

EMAIL = Email(
    kind="staff_alert",
    title=_("Staff alert"),
    when="staff tasks or alerts are new; to `STAFF_ALERT_EMAILS`, at most one in 15 minutes",
    recipients=its_recipients,
    snapshot=lambda digest: digest.facts,
    key=lambda digest: f"{digest.window}:{digest.number}",
    accent="red",
    is_copy_harmless=True,
    expires=after(timedelta(hours=24)),
    priority=2,
    samples=SAMPLES,
)
