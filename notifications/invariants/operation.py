"""About jobs and staff tasks."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db.models import Max, Min, Q, Window
from django.db.models.functions import Lead

from csf import clock
from csf.clock import Now
from csf.jobs.declared import jobs
from csf.jobs.schedules import paused, schedules, unscheduled
from csf.models import JobRun, StaffTask
from csf.proofs.invariants import Invariant, pks

DAY = timedelta(days=1)
STUCK = timedelta(hours=1)


def _about_nothing() -> Iterator[int]:
    """Open tasks about a row that is not there."""
    about: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for task in StaffTask.objects.open().order_by("pk"):
        label, key, _ = task.subject_parts
        if key:
            about[label][key] = task.pk
    for label, tasks in about.items():
        rows = apps.get_model(label)._base_manager.filter(pk__in=tasks)
        there = {str(pk) for pk in rows.values_list("pk", flat=True)}
        yield from (task for key, task in tasks.items() if key not in there)


def _stuck_runs() -> Any:
    return pks(
        JobRun.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now() - STUCK), status="running")
    )


def _unscheduled() -> list[str]:
    return sorted(unscheduled()) if schedules() else []


def _missed_days() -> Iterator[str]:
    """A run covers the days before it on which none was, so each day has one from the first on. Where nothing
    is scheduled nothing is missed."""
    if not schedules():
        return
    yesterday = clock.today() - DAY
    wanted = JobRun.objects.filter(job__in=jobs().keys() - paused()).order_by()
    following = Window(Lead("on"), partition_by="job", order_by="on")
    for run in wanted.annotate(following=following).values("job", "on", "following"):
        if run["following"] and run["following"] - run["on"] > DAY:
            yield f"{run['job']} after {run['on']}"
    last = wanted.values("job").annotate(last_on=Max("on", filter=Q(status="done")), first_on=Min("on"))
    for job, last_on, first_on in last.values_list("job", "last_on", "first_on"):
        if first_on < yesterday and (last_on is None or last_on < yesterday):
            yield f"{job} since {last_on or first_on}"


INVARIANTS = [
    Invariant("Y2", "staff tasks about a row that does not exist", _about_nothing),
    Invariant("Y4", "daily jobs with a missing day", _missed_days),
    Invariant("Y4", "daily jobs that started and never ended", _stuck_runs),
    Invariant("Y4", "jobs without a schedule", _unscheduled),
]
