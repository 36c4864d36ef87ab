"""The history of edits by hand, for actions that write no transition."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model

from enrollments.models import User


def log_edit(row: Model, *, by: User, what: str) -> None:
    LogEntry.objects.log_actions(by.pk, [row], CHANGE, change_message=what, single_object=True)
