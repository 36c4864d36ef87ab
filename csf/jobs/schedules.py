"""When each job runs: its schedule in the database, which staff can pause, made from its declaration."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from django.conf import settings
from django.db import connection, transaction
from django_q.models import Schedule

from csf import clock
from csf.jobs.declared import daily_jobs, jobs
from csf.jobs.queue import MAIN, URGENT, enqueue, enqueue_to

OWN = "csf:"


def daily_run_at(name: str, *, on: date) -> datetime:
    """The moment of a daily job's run on that local date."""
    return datetime.combine(on, daily_jobs()[name].at, ZoneInfo(settings.SCHOOL_TIME_ZONE))


def next_slot(name: str, after: datetime) -> datetime:
    """When a job is to run for the first time after that moment."""
    local = after.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))
    slot: datetime = croniter(jobs()[name].cron, local).get_next(datetime)
    return slot


@transaction.atomic
def queue_due_jobs(queue: str) -> None:
    """Queue each job whose time has come, once over all clusters that take this queue. A next run beyond the
    job's next slot was set by a wrong clock, and is corrected."""
    now = clock.now()
    names = [OWN + name for name in jobs() if _queue_of(name) == queue]
    rows = Schedule.objects.select_for_update(skip_locked=True).exclude(repeats=0)
    for row in rows.filter(name__in=names):
        name = row.name.removeprefix(OWN)
        is_due, slot = row.next_run <= now, next_slot(name, now)
        if is_due:
            row.task = enqueue_to(queue, jobs()[name].task)
        if is_due or row.next_run > slot:
            row.next_run = slot
            row.save(update_fields=["next_run", "task"])


def _queue_of(name: str) -> str:
    return URGENT if jobs()[name].is_urgent else MAIN


@dataclass(frozen=True)
class Scheduled:
    """A schedule, for people."""

    pk: int
    name: str
    cron: str
    next_at: datetime
    is_paused: bool
    begun_at: datetime | None
    """The time for which its last task was queued."""

    @property
    def title(self) -> str:
        return jobs()[self.name].title


def schedules() -> list[Scheduled]:
    """The schedules of our jobs, in the order of `jobs`."""
    rows = {row.name.removeprefix(OWN): row for row in Schedule.objects.filter(name__startswith=OWN)}
    return [_for_people(name, rows[name]) for name in jobs() if name in rows]


def _for_people(name: str, row: Schedule) -> Scheduled:
    # The queue moves `next_run` to the next slot when it starts one, and stores nothing else about it.
    next_at = row.next_run.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))
    begun_at = croniter(row.cron, next_at).get_prev(datetime) if row.task else None
    return Scheduled(row.pk, name, row.cron, row.next_run, row.repeats == 0, begun_at)


def unscheduled() -> set[str]:
    """Jobs that nothing will start."""
    return jobs().keys() - {schedule.name for schedule in schedules()}


def overdue(than: timedelta) -> list[str]:
    """Names of the jobs that should have started longer ago than that."""
    latest = clock.now() - than
    return [job.name for job in schedules() if not job.is_paused and job.next_at < latest]


def paused() -> set[str]:
    """Names of the jobs that staff have paused."""
    return {schedule.name for schedule in schedules() if schedule.is_paused}


def set_paused(name: str, is_paused: bool) -> Schedule | None:
    """Return its row, if there is one. A run that was missed in the meantime is made up at once."""
    row = Schedule.objects.filter(name=OWN + name).first()
    if row:
        row.repeats = 0 if is_paused else -1
        row.save(update_fields=["repeats"])
    return row


def run_now(name: str) -> None:
    enqueue(jobs()[name].task)


@transaction.atomic
def sync_schedules() -> int:
    """Make the schedules in the database equal to `jobs` and return how many changed. A paused one stays
    paused."""
    with connection.cursor() as cursor:
        # Row locks do not guard against two first runs at once.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sync_schedules'))")
    wanted = {OWN + name for name in jobs()}
    seen: set[str] = set()
    changed = 0
    for row in Schedule.objects.select_for_update().filter(name__startswith=OWN).order_by("pk"):
        if row.name not in wanted or row.name in seen:
            row.delete()
            changed += 1
        else:
            seen.add(row.name)
            changed += _put(row)
    return changed + sum(_put(Schedule(name=name, repeats=-1)) for name in sorted(wanted - seen))


def _put(row: Schedule) -> int:
    name = row.name.removeprefix(OWN)
    job = jobs()[name]
    queue = URGENT if job.is_urgent else None
    fields = {"func": job.task, "cron": job.cron, "args": "()", "cluster": queue}
    fields |= {"schedule_type": Schedule.CRON}
    differs = row.pk is None or any(getattr(row, field) != value for field, value in fields.items())
    for field, value in fields.items():
        setattr(row, field, value)
    now = clock.now()
    following = next_slot(name, now)
    if not differs and (row.next_run <= now or row.next_run == following):
        return 0  # an overdue run stays due
    row.next_run = following
    row.full_clean()
    row.save()
    return 1
