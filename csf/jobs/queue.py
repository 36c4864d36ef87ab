"""The one seam to the queue: nothing but this module (and the admin) knows that it is Django-Q2."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from croniter import croniter
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Min, QuerySet
from django.dispatch import receiver
from django_q.models import Failure, OrmQ, Schedule, Task
from django_q.signals import pre_execute
from django_q.tasks import async_task

from csf import clock
from csf.jobs import time_budget

OWN = "csf:"
LOOKED_THROUGH = 1000
MAIN: str = settings.Q_CLUSTER["name"]
URGENT = "urgent"
"""The queue of what somebody waits for; only workers of its own take it."""
# Schedules by name: the task and its cron line, in SCHOOL_TIME_ZONE. Nothing daily from 00:00 to 03:59, where
# clock changes make an hour happen twice or never.
JOBS: dict[str, tuple[str, str]] = {
    "send_installment_reminders": ("notifications.tasks.send_installment_reminders", "0 9 * * *"),
    "send_card_notices": ("notifications.tasks.send_card_notices", "0 9 * * *"),
    "send_class_reminders": ("notifications.tasks.send_class_reminders", "0 9 * * *"),
    "charge_due_installments": ("billing.tasks.charge_due_installments", "0 10 * * *"),
    "retry_failed_payments": ("billing.tasks.retry_failed_payments", "0 10 * * *"),
    "process_overdue_installments": ("notifications.tasks.process_overdue_installments", "0 11 * * *"),
    "sweep_charges": ("billing.tasks.sweep_charges", "* * * * *"),
    "expire_credits": ("billing.tasks.expire_credits", "30 5 * * *"),
    "complete_ended_classes": ("billing.tasks.complete_ended_classes", "40 5 * * *"),
    "sweep_refunds": ("billing.tasks.sweep_refunds", "* * * * *"),
    "sweep_holds": ("billing.tasks.sweep_holds", "* * * * *"),
    "sweep_waitlist": ("billing.tasks.sweep_waitlist", "* * * * *"),
    "sweep_events": ("billing.tasks.sweep_events", "* * * * *"),
    "watch_alerts": ("notifications.tasks.watch_alerts", "* * * * *"),
    "sweep_emails": ("notifications.tasks.sweep_emails", "* * * * *"),
    "send_awaited_emails": ("notifications.tasks.send_awaited", "* * * * *"),
    "compare_books": ("billing.tasks.compare_books", "10 5 * * *"),
    "look_at_stripe": ("billing.tasks.look_at_stripe", "* * * * *"),
    "reconcile_stripe": ("billing.tasks.reconcile", "7 * * * *"),
    "purge": ("notifications.tasks.purge", "30 4 * * *"),
    "close_settled_tasks": ("csf.tasks.close_settled_tasks", "* * * * *"),
    "prove": ("csf.tasks.prove", "*/5 * * * *"),
    "take_up_jobs": ("csf.tasks.take_up_jobs", "*/5 * * * *"),
}
URGENT_JOBS = {"send_awaited_emails"}
"""Begun by the urgent workers themselves, so that one of them is missed if there are none."""

# Where the name alone says too little.
TITLES = {
    "look_at_stripe": "Ask whether Stripe answers",
    "reconcile_stripe": "Fetch Stripe's events",
    "prove": "Check that rows agree",
}


def enqueue(task: str, *args: int | str | UUID | date) -> None:
    """Ask a worker to run `task` (a dotted path) soon; part of the current transaction.

    A task is only a wake-up call: it may run twice or never. The row it is about is the truth, so arguments
    are ids, and a sweep finds whatever no task came for.
    """
    _enqueue(task, *args, queue=MAIN)


def enqueue_once(task: str, *, urgent: bool = False) -> None:
    """Ask for a task without arguments, unless one is waiting. One at work may have looked already."""
    queue = URGENT if urgent else MAIN
    waiting = OrmQ.objects.filter(key=queue, lock__lte=clock.now()).order_by("-pk")
    # The name is inside the signed payload. A queue longer than that has other troubles than one task more.
    if not any(row.func() == task for row in waiting[:LOOKED_THROUGH]):
        _enqueue(task, queue=queue)


def _enqueue(task: str, *args: int | str | UUID | date, queue: str) -> str:
    # Unnamed, it would be the queue of the worker that asks.
    task_id: str = async_task(task, *args, cluster=queue)
    return task_id


@receiver(pre_execute)
def _begin(**signal: object) -> None:
    time_budget.begin_task()


def daily_time(name: str) -> time:
    """The local time of day of a daily job."""
    minute, hour = JOBS[name][1].split()[:2]
    return time(int(hour), int(minute))


def daily_run_at(name: str, *, on: date) -> datetime:
    """The moment of a daily job's run on that local date."""
    return datetime.combine(on, daily_time(name), ZoneInfo(settings.SCHOOL_TIME_ZONE))


def next_slot(name: str, after: datetime) -> datetime:
    """When a job is to run for the first time after that moment."""
    local = after.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))
    slot: datetime = croniter(JOBS[name][1], local).get_next(datetime)
    return slot


@transaction.atomic
def queue_due_jobs(queue: str) -> None:
    """Queue each job whose time has come, once over all clusters that take this queue. A next run that lies
    beyond the job's next slot was set by a clock that went wrong, and is put right."""
    now = clock.now()
    names = [OWN + name for name in JOBS if _queue_of(name) == queue]
    rows = Schedule.objects.select_for_update(skip_locked=True).exclude(repeats=0)
    for row in rows.filter(name__in=names):
        name = row.name.removeprefix(OWN)
        is_due, slot = row.next_run <= now, next_slot(name, now)
        if is_due:
            row.task = _enqueue(JOBS[name][0], queue=queue)
        if is_due or row.next_run > slot:
            row.next_run = slot
            row.save(update_fields=["next_run", "task"])


def _queue_of(name: str) -> str:
    return URGENT if name in URGENT_JOBS else MAIN


def daily_jobs() -> dict[str, time]:
    """The jobs that keep a JobRun a day, and their local time."""
    return {name: daily_time(name) for name, (_, cron) in JOBS.items() if cron.split()[1].isdecimal()}


def job_title(name: str) -> str:
    """As "Send installment reminders"."""
    return TITLES.get(name) or name.replace("_", " ").capitalize()


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
        return job_title(self.name)


def scheduled() -> list[Scheduled]:
    """The schedules of our jobs, as JOBS lists them."""
    rows = {row.name.removeprefix(OWN): row for row in Schedule.objects.filter(name__startswith=OWN)}
    return [_for_people(name, rows[name]) for name in JOBS if name in rows]


def _for_people(name: str, row: Schedule) -> Scheduled:
    # The queue moves `next_run` to the next slot when it begins one, and keeps nothing else about it.
    next_at = row.next_run.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))
    begun_at = croniter(row.cron, next_at).get_prev(datetime) if row.task else None
    return Scheduled(row.pk, name, row.cron, row.next_run, row.repeats == 0, begun_at)


def unscheduled() -> set[str]:
    """Jobs that nothing will begin."""
    names = Schedule.objects.filter(name__startswith=OWN).values_list("name", flat=True)
    return JOBS.keys() - {name.removeprefix(OWN) for name in names}


def set_paused(name: str, is_paused: bool) -> Schedule | None:
    """Returns its row, if there is one. A run that was missed meanwhile is made up for at once."""
    row = Schedule.objects.filter(name=OWN + name).first()
    if row:
        row.repeats = 0 if is_paused else -1
        row.save(update_fields=["repeats"])
    return row


def run_now(name: str) -> None:
    enqueue(JOBS[name][0])


def waiting() -> int:
    return int(_waiting().count())


def failed() -> int:
    """Tasks that ended with an error and were not forgotten yet."""
    return int(Failure.objects.count())


def overdue(than: timedelta) -> list[str]:
    """Names of the jobs that should have begun longer ago than that."""
    rows = Schedule.objects.filter(name__startswith=OWN, next_run__lt=clock.now() - than)
    return [name.removeprefix(OWN) for name in rows.exclude(repeats=0).values_list("name", flat=True)]


def waiting_since() -> datetime | None:
    """When the oldest task was queued that no worker has taken."""
    oldest: datetime | None = _waiting().aggregate(at=Min("lock"))["at"]
    return oldest


def _waiting() -> "QuerySet[OrmQ]":
    # Django-Q2 marks a task as taken by moving `lock` into the future; the queues of canaries are other ones.
    return OrmQ.objects.filter(key__in=[MAIN, URGENT], lock__lte=clock.now())  # type: ignore[no-any-return]


def paused() -> set[str]:
    """Names of the jobs that staff have paused."""
    rows = Schedule.objects.filter(name__startswith=OWN, repeats=0).values_list("name", flat=True)
    return {name.removeprefix(OWN) for name in rows}


def schedules_exist() -> bool:
    return bool(Schedule.objects.filter(name__startswith=OWN).exists())


def tasks_with_more_than_ids() -> Iterator[int]:
    """Ids of queued tasks with other arguments than ids and days: names and addresses are no ids."""
    for row in OrmQ.objects.order_by("-pk")[:LOOKED_THROUGH]:
        given = [*(row.args() or ()), *(row.kwargs() or {}).values()]
        if not all(isinstance(value, int | UUID | date) or _is_word(value) for value in given):
            yield row.pk


def _is_word(value: object) -> bool:
    return isinstance(value, str) and "@" not in value and not any(map(str.isspace, value))


def tasks_stopped_before(moment: datetime) -> "QuerySet[Task]":
    """The queue's records of finished tasks, which say nothing that our own rows do not."""
    found: QuerySet[Task] = Task.objects.filter(stopped__lt=moment)
    return found


@transaction.atomic
def sync_schedules() -> int:
    """Make the schedules in the database equal to JOBS and return how many changed. A paused one stays
    paused."""
    with connection.cursor() as cursor:
        # Row locks do not guard against two first runs at once.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sync_schedules'))")
    wanted = {OWN + name for name in JOBS}
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
    func, cron = JOBS[name]
    queue = URGENT if name in URGENT_JOBS else None
    fields = {"func": func, "cron": cron, "args": "()", "schedule_type": Schedule.CRON, "cluster": queue}
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
