"""The digest of what is new for staff: counts and links, no names and no addresses of families."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse

from billing.task_kinds import MoneyTask
from csf import clock
from csf.models import StaffTask, kind_title
from enrollments.models import User
from notifications.kinds import EmailKind
from notifications.models import Alert, EmailMessage, Suppression
from notifications.spec import EmailSpec, Snapshot
from notifications.task_kinds import EmailTask

WINDOW = timedelta(minutes=15)
LIFE = timedelta(hours=24)
# Alerts that only repeat what a task of the same name says.
TOLD_BY_TASKS = {
    EmailTask.EMAIL_FAILED.value,
    EmailTask.EMAIL_SENDER_BLOCKED.value,
    MoneyTask.STRIPE_KEY_REFUSED.value,
}


@dataclass(frozen=True)
class Digest:
    """What one address is told. There is no row of it; the tasks and alerts say when they were told."""

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
    """One for each address; none if there is nothing to tell."""
    facts = _facts(Counter(task.kind for task in tasks), list(alerts))
    window = int(clock.now().timestamp() // WINDOW.total_seconds())
    addresses = range(len(settings.STAFF_ALERT_EMAILS)) if facts["count"] else []
    return [Digest(window, number, facts) for number in addresses]


def _facts(tasks: Counter[str], alerts: list[Alert]) -> Snapshot:
    # What is worth a call comes with its warning: the last one counts.
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


def about_these_emails(tasks: Iterable[StaffTask]) -> set[int]:
    """Ids of tasks that a digest which did not arrive has opened: told by a digest, they would never end."""
    subjects: dict[str, dict[str, int]] = {
        EmailMessage._meta.label_lower: {},
        Suppression._meta.label_lower: {},
    }
    found = set()
    for task in tasks:
        label, key, filters = task.subject_parts
        if key and label in subjects:
            subjects[label][key] = task.pk
        elif f"kind__exact={EmailKind.STAFF_ALERT}" in filters:
            found.add(task.pk)
    emails, suppressions = subjects.values()
    ours = EmailMessage.objects.filter(pk__in=emails, kind=EmailKind.STAFF_ALERT)
    addresses = [address.lower() for address in settings.STAFF_ALERT_EMAILS]
    stopped = Suppression.objects.filter(pk__in=suppressions, address__in=addresses)
    found |= {emails[str(pk)] for pk in ours.values_list("pk", flat=True)}
    return found | {suppressions[str(pk)] for pk in stopped.values_list("pk", flat=True)}


STAFF_ALERT = EmailSpec(
    recipients=lambda digest: digest.recipients,
    snapshot=lambda digest: digest.facts,
    key=lambda digest: f"{digest.window}:{digest.number}",
    accent="red",
    is_copy_harmless=True,
    expires=lambda digest: clock.now() + LIFE,
    priority=2,
)
