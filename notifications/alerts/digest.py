"""What the digest for staff leaves out (`notifications.emails.messages.staff_alert`)."""

from collections.abc import Iterable

from django.conf import settings

from billing.task_kinds import MoneyTask
from csf.models import StaffTask
from notifications.models import EmailMessage, Suppression
from notifications.task_kinds import EmailTask

# Alerts that only repeat what a task of the same name says.
COVERED_BY_TASKS = {
    EmailTask.EMAIL_FAILED.value,
    EmailTask.EMAIL_SENDER_BLOCKED.value,
    MoneyTask.STRIPE_KEY_REFUSED.value,
}


def about_these_emails(tasks: Iterable[StaffTask]) -> set[int]:
    """Ids of tasks opened because a digest did not arrive: a digest about them would open the next."""
    subjects: dict[str, dict[str, int]] = {
        EmailMessage._meta.label_lower: {},
        Suppression._meta.label_lower: {},
    }
    found = set()
    for task in tasks:
        label, key, filters = task.subject_parts
        if key and label in subjects:
            subjects[label][key] = task.pk
        elif "kind__exact=staff_alert" in filters:
            found.add(task.pk)
    emails, suppressions = subjects.values()
    ours = EmailMessage.objects.filter(pk__in=emails, kind="staff_alert")
    addresses = [address.lower() for address in settings.STAFF_ALERT_EMAILS]
    stopped = Suppression.objects.filter(pk__in=suppressions, address__in=addresses)
    found |= {emails[str(pk)] for pk in ours.values_list("pk", flat=True)}
    return found | {suppressions[str(pk)] for pk in stopped.values_list("pk", flat=True)}
