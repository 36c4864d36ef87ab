"""What only a person can decide. Each app declares its kinds of tasks, and when they are over
(csf/staff/tasks.py)."""

from collections.abc import Mapping
from typing import Self, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q

from csf.clock import Now

Kind = TypeVar("Kind", bound=models.TextChoices)
_titles: dict[str, str] = {}


def task_kinds(kinds: type[Kind]) -> type[Kind]:
    """Decorator for the enum of an app's kinds of staff tasks."""
    for kind in kinds:
        if kind.value in _titles:
            raise ValueError(f"two kinds of staff tasks are called {kind.value}")
        _titles[kind.value] = str(kind.label)
    return kinds


def kind_title(kind: str) -> str:
    return _titles.get(kind, kind)


@task_kinds
class OperationTask(models.TextChoices):
    JOB_SILENT = "job_silent", "Daily job that has not run for days"


class StaffTaskQuerySet(models.QuerySet["StaffTask"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def about(self, obj: models.Model) -> Self:
        return self.filter(subject=f"{obj._meta.label_lower}:{obj.pk}")

    def close(self, *, by: AbstractBaseUser) -> int:
        """Close those that are still open and return how many; the first person to close one stays
        recorded."""
        return self.open().update(closed_at=Now(), closed_by=by)


def staff_task_kinds() -> list[tuple[str, str]]:
    """A function, so that a new kind needs no migration."""
    return list(_titles.items())


class StaffTask(models.Model):
    """Something that only a person can decide. Opened by the system, closed by staff."""

    kind = models.CharField(max_length=40, choices=staff_task_kinds)
    subject = models.CharField(
        max_length=100,
        help_text="The row this is about, as app.model:id; or several rows, as app.model?filter.",
    )
    detail = models.TextField(blank=True)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    emailed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When STAFF_ALERT_EMAILS were sent it."
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    closed_because = models.CharField(max_length=200, blank=True, help_text="Set if it closed by itself.")

    objects = StaffTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="csf_stafftask_one_open"
            )
        ]

    def __str__(self) -> str:
        return kind_title(self.kind)

    @property
    def subject_parts(self) -> tuple[str, str, str]:
        """Model label, row id, list filters; of the last two one is empty."""
        label, _, filters = self.subject.partition("?")
        label, _, key = label.partition(":")
        return label, key, filters

    @classmethod
    def open(cls, kind: str, about: models.Model, detail: str = "") -> None:
        """Ask staff to decide about a row. A second call while the first is open changes nothing."""
        cls._open(kind, f"{about._meta.label_lower}:{about.pk}", detail)

    @classmethod
    def open_for_many(
        cls, kind: str, model: type[models.Model], filters: Mapping[str, str], detail: str = ""
    ) -> None:
        """Ask staff once about all rows with the same problem; `filters` are those of the model's list."""
        cls._open(kind, f"{model._meta.label_lower}?{urlencode(filters)}", detail)

    @classmethod
    def _open(cls, kind: str, subject: str, detail: str) -> None:
        task = StaffTask(kind=kind, subject=subject, detail=detail)
        StaffTask.objects.bulk_create([task], ignore_conflicts=True)
