"""The only door to the queue: nothing but this folder (and the admin) knows that it is Django-Q2."""

from collections.abc import Iterator
from datetime import date, datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Min, QuerySet
from django.dispatch import receiver
from django_q.models import Failure, OrmQ, Task
from django_q.signals import pre_execute
from django_q.tasks import async_task

from csf import clock
from csf.jobs import time_budget

LOOKED_THROUGH = 1000
MAIN: str = settings.Q_CLUSTER["name"]
URGENT = "urgent"
"""The queue of what someone waits for; only workers of its own take it."""


def enqueue(task: str, *args: int | str | UUID | date) -> None:
    """Ask a worker to run `task` (a dotted path) soon; part of the current transaction.

    A task is only a wake-up call: it may run twice or never. The row it is about is the truth, so arguments
    are ids, and a sweep finds whatever no task came for.
    """
    enqueue_to(MAIN, task, *args)


def enqueue_once(task: str, *, urgent: bool = False) -> None:
    """Ask for a task without arguments, unless one is waiting. One that is running may already have
    looked."""
    queue = URGENT if urgent else MAIN
    waiting = OrmQ.objects.filter(key=queue, lock__lte=clock.now()).order_by("-pk")
    # The name is inside the signed payload. A queue longer than that has bigger problems than one more task.
    if not any(row.func() == task for row in waiting[:LOOKED_THROUGH]):
        enqueue_to(queue, task)


def enqueue_to(queue: str, task: str, *args: int | str | UUID | date) -> str:
    """Returns the id of the task."""
    # Without a name it would be the queue of the worker that asks.
    task_id: str = async_task(task, *args, cluster=queue)
    return task_id


@receiver(pre_execute)
def _begin(**signal: object) -> None:
    time_budget.begin_task()


def waiting() -> int:
    return int(_waiting().count())


def failed() -> int:
    """Tasks that ended with an error and have not been deleted yet."""
    return int(Failure.objects.count())


def waiting_since() -> datetime | None:
    """When the oldest task was queued that no worker has taken."""
    oldest: datetime | None = _waiting().aggregate(at=Min("lock"))["at"]
    return oldest


def _waiting() -> "QuerySet[OrmQ]":
    # Django-Q2 marks a task as taken by moving `lock` into the future; the queues of canaries are other ones.
    return OrmQ.objects.filter(key__in=[MAIN, URGENT], lock__lte=clock.now())  # type: ignore[no-any-return]


def tasks_with_more_than_ids() -> Iterator[int]:
    """Ids of queued tasks with arguments other than ids and days: names and addresses do not belong there."""
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
