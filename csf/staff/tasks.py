"""When a staff task is over: each kind says what must still be true, and a sweep closes the tasks for which
it no longer is.

An app declares its kinds in its own `staff_tasks`, with the rows for which the task is still useful.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from django.apps import apps
from django.db.models import QuerySet

from csf.clock import Now
from csf.models import OperationTask, StaffTask

Rows = Callable[[], QuerySet[Any]]
_still_open: dict[tuple[str, str], Rows] = {}
BY_A_PERSON: dict[str, str] = {}
"""Kinds that only a person closes, and why."""


def open_while(kind: str, rows: Rows) -> None:
    """Tasks of this kind about a row of this model are open while the row is among these."""
    _still_open[kind, rows().model._meta.label_lower] = rows


def closed_by_hand(kind: str, why: str) -> None:
    BY_A_PERSON[kind] = why


def kinds() -> set[str]:
    """All that are declared."""
    return {kind for kind, _ in _still_open} | BY_A_PERSON.keys()


def close_settled() -> int:
    """Close the open tasks whose cause is gone, and return how many."""
    about_one: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    settled = []
    for task in StaffTask.objects.open().order_by("pk"):
        label, key, filters = task.subject_parts
        if filters:
            settled += [] if _any_left(label, filters) else [task.pk]
        elif (task.kind, label) in _still_open:
            about_one[task.kind, label][key] = task.pk
    for cause, tasks in about_one.items():
        left = _still_open[cause]().filter(pk__in=tasks).values_list("pk", flat=True)
        settled += [task for key, task in tasks.items() if key not in {str(pk) for pk in left}]
    over = StaffTask.objects.open().filter(pk__in=settled)
    return over.update(closed_at=Now(), closed_because="Its cause is gone.")


def subjects_in_words(tasks: Iterable[StaffTask]) -> dict[int, str]:
    """What each task is about, for people, by the task's id; a row that is gone is named by what is stored.

    One statement for each model.
    """
    words: dict[int, str] = {}
    one_row: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for task in tasks:
        label, key, filters = task.subject_parts
        if filters:
            chosen = ", ".join(value.replace("_", " ") for _, value in parse_qsl(filters))
            words[task.pk] = f"{apps.get_model(label)._meta.verbose_name_plural}: {chosen}"
        else:
            one_row[label][task.pk] = key
            words[task.pk] = task.subject
    for label, keys in one_row.items():
        rows = apps.get_model(label)._base_manager.select_related().filter(pk__in=keys.values())
        texts = {str(row.pk): str(row) for row in rows}
        words |= {task: texts[key] for task, key in keys.items() if key in texts}
    return words


def _any_left(label: str, filters: str) -> bool:
    """Whether any row still matches the filters of a task about many rows."""
    return bool(apps.get_model(label)._default_manager.filter(**dict(parse_qsl(filters))).exists())


closed_by_hand(OperationTask.JOB_SILENT, "Someone has to find out why the job did not run.")
