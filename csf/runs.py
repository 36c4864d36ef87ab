"""Daily jobs: each runs once for a local date, on whatever host and for whatever reason it is started
again."""

import datetime
import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from csf.models import JobRun, StaffTask
from csf.report import Report

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
LONG_SILENCE = timedelta(days=7)


def run_job(name: str, work: Callable[[], Report], *, on: datetime.date) -> tuple[JobRun, bool]:
    """Do the work of a job for that local date unless it is done, or being done; says which.

    The work looks at everything that is due by then, so days on which nothing ran are covered by this run.
    """
    run = _take(name, on)
    if run is None:
        return JobRun.objects.get(job=name, on=on), False
    try:
        report = work()
    except Exception:
        JobRun.objects.filter(pk=run.pk).update(
            status=JobRun.Status.FAILED, lease_until=None, finished_at=Now()
        )
        raise
    with transaction.atomic():
        JobRun.objects.filter(pk=run.pk).update(
            status=JobRun.Status.DONE, lease_until=None, finished_at=Now(), report=report.as_json()
        )
        _cover_missed_days(name, run)
    run.refresh_from_db()
    return run, True


def _take(name: str, on: datetime.date) -> JobRun | None:
    """The run's row if it is ours now: new, failed before, or left by somebody who died."""
    JobRun.objects.bulk_create([JobRun(job=name, on=on)], ignore_conflicts=True)
    free = Q(status=JobRun.Status.FAILED) | Q(status=JobRun.Status.RUNNING, lease_until=None)
    free |= Q(status=JobRun.Status.RUNNING, lease_until__lt=Now())
    ours = JobRun.objects.filter(free, job=name, on=on)
    taken = ours.update(status=JobRun.Status.RUNNING, lease_until=Now() + LEASE, started_at=Now())
    return JobRun.objects.get(job=name, on=on) if taken else None


def _cover_missed_days(name: str, run: JobRun) -> None:
    before = JobRun.objects.filter(job=name, on__lt=run.on, status=JobRun.Status.DONE).order_by("-on").first()
    if before is None:
        return
    silent = (run.on - before.on).days - 1
    days = [before.on + timedelta(days=number) for number in range(1, silent + 1)]
    missed = [
        JobRun(job=name, on=day, status=JobRun.Status.DONE, covered_by=run, finished_at=Now()) for day in days
    ]
    JobRun.objects.bulk_create(missed, ignore_conflicts=True)
    if timedelta(days=silent) > LONG_SILENCE:
        StaffTask.open(StaffTask.Kind.JOB_SILENT, run, f"{name} did not run for {silent} days.")
