"""Jobs that are paused, that nobody has scheduled, or that were not done when they should have been."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Max

from csf.dates import local_date
from csf.jobs.declared import daily_jobs, job_title
from csf.jobs.schedules import paused, unscheduled
from csf.models import Instance, JobRun
from csf.templatetags.csf_format import day
from notifications.alerts.rule import Symptom
from notifications.models import Alert

JOB_MAX_LATE = timedelta(hours=1)
MISSED_TODO = "Press Run now on the System page. If that does not help, find its error in the worker's log."


def job_symptoms(now: datetime) -> Iterator[Symptom]:
    idle = paused()
    for job in sorted(idle):
        text = f"{job_title(job)} is paused"
        yield Symptom("job_paused", Alert.Level.WARNING, text, "Resume it on the System page.", job)
    if missing := sorted(unscheduled()):
        yield Symptom(
            "schedule_missing",
            Alert.Level.PAGE,
            f"no schedule runs {', '.join(job_title(job) for job in missing)}",
            "Run manage.py sync_schedules.",
        )
    for job, due_on, done_on in _missed(now):
        if job not in idle:
            yield Symptom("job_missed", Alert.Level.PAGE, _words(job, due_on, done_on), MISSED_TODO, job)


def _words(job: str, due_on: date, done_on: date | None) -> str:
    last = f"the last time was {day(done_on)}" if done_on else "it has never run"
    return f"{job_title(job)} was not done on {day(due_on)}, an hour after its time; {last}"


def _missed(now: datetime) -> Iterator[tuple[str, date, date | None]]:
    """Daily jobs that were not done the last time that they were due since the installation began."""
    began_at = Instance.objects.values_list("created_at", flat=True).first()
    runs = JobRun.objects.filter(status=JobRun.Status.DONE).order_by().values("job").annotate(last=Max("on"))
    done = dict(runs.values_list("job", "last"))
    for job, declared in daily_jobs().items():
        due_at = _last_due(declared.at, now)
        done_on = done.get(job)
        if began_at and began_at < due_at and (done_on is None or done_on < local_date(due_at)):
            yield job, local_date(due_at), done_on


def _last_due(at: time, now: datetime) -> datetime:
    """The last moment by which the job should have been done, less the hour that it may take."""
    due_at = datetime.combine(local_date(now), at, tzinfo=ZoneInfo(settings.SCHOOL_TIME_ZONE))
    return due_at if now > due_at + JOB_MAX_LATE else due_at - timedelta(days=1)
