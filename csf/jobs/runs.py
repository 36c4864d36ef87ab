"""Daily jobs: each runs once for a local date, no matter on which host or how often it is started. A run that
was killed, failed or ran out of time is resumed on the same day."""

import datetime
import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from csf.clock import Now
from csf.dates import local_date
from csf.jobs.declared import daily_jobs
from csf.jobs.queue import enqueue, enqueue_once
from csf.jobs.report import Report
from csf.jobs.schedules import daily_run_at, paused
from csf.models import JobRun, OperationTask, StaffTask
from csf.state import move_rows

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
LONG_SILENCE = timedelta(days=7)


def run_job(name: str, work: Callable[[], Report], *, on: datetime.date) -> tuple[JobRun, bool]:
    """Do the work of a job for that local date unless it is done, or in progress; return which.

    The work looks at everything that is due by then, so days on which nothing ran are covered by this run.
    """
    run = _take(name, on)
    if run is None:
        return JobRun.objects.get(job=name, on=on), False
    done_before: int = run.report.get("done", 0)
    try:
        report = work()
    except Exception:
        row = JobRun.objects.filter(pk=run.pk)
        move_rows(row, JobRun.Status.FAILED, lease_until=None, finished_at=Now())
        raise
    report.done += done_before
    if report.is_cut:
        JobRun.objects.filter(pk=run.pk).update(lease_until=None, report=report.as_json())
        enqueue(daily_jobs()[name].task)
    else:
        _finish(name, run, report)
    run.refresh_from_db()
    return run, True


def queue_unfinished(*, now: datetime.datetime) -> list[str]:
    """Queue the daily jobs again that should have finished by now on this local date and did not: a worker
    was killed, the work failed, or the task was lost. Return their names.

    A job that never ran waits for its own time, and one that staff paused stays paused.
    """
    today = local_date(now)
    idle = paused()
    names = JobRun.objects.filter(on__lt=today).order_by().values_list("job", flat=True).distinct()
    known = daily_jobs().keys() & set(names)
    due = [name for name in sorted(known - idle) if _is_over_due(name, now)]
    at_rest = Q(status=JobRun.Status.DONE) | Q(lease_until__gt=Now())
    at_rest |= Q(status=JobRun.Status.FAILED, finished_at__gt=Now() - LEASE)
    left = set(due) - set(JobRun.objects.filter(at_rest, on=today).values_list("job", flat=True))
    for name in sorted(left):
        logger.warning("%s of %s did not come to its end; it is started again", name, today)
        enqueue_once(daily_jobs()[name].task)
    return sorted(left)


def _is_over_due(name: str, now: datetime.datetime) -> bool:
    return now - daily_run_at(name, on=local_date(now)) > LEASE


@transaction.atomic
def _finish(name: str, run: JobRun, report: Report) -> None:
    row = JobRun.objects.filter(pk=run.pk)
    move_rows(row, JobRun.Status.DONE, lease_until=None, finished_at=Now(), report=report.as_json())
    _cover_missed_days(name, run)


def _take(name: str, on: datetime.date) -> JobRun | None:
    """The run's row if it is ours now: new, failed before, or left by someone who died."""
    JobRun.objects.bulk_create([JobRun(job=name, on=on)], ignore_conflicts=True)
    free = Q(status=JobRun.Status.FAILED) | Q(status=JobRun.Status.RUNNING, lease_until=None)
    free |= Q(status=JobRun.Status.RUNNING, lease_until__lt=Now())
    ours = JobRun.objects.filter(free, job=name, on=on)
    taken = move_rows(ours, JobRun.Status.RUNNING, lease_until=Now() + LEASE, started_at=Now())
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
        StaffTask.open(OperationTask.JOB_SILENT, run, f"{name} has not run for {silent} days.")
