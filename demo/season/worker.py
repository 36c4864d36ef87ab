"""The workers, in this process: one task after another, and the jobs at their times."""

import pydoc
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Min
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import pre_execute

from csf.clock import Now
from csf.jobs.declared import DailyJob, jobs
from csf.jobs.queue import MAIN
from csf.jobs.schedules import next_slot, queue_due_jobs, set_paused
from demo.season.faults import Faults, Killed


def work_off(faults: Faults) -> int:
    """Run what is queued until nothing is; returns how many tasks there were. A task whose worker dies stays
    in the queue, and another one takes it later."""
    number = 0
    while row := OrmQ.objects.filter(lock__lte=Now()).order_by("pk").first():
        task = row.task
        OrmQ.objects.filter(pk=row.pk).update(lock=Now() + timedelta(seconds=Conf.RETRY))
        pre_execute.send("django_q", func=task["func"], task=task)
        try:
            with faults.deadly():
                pydoc.locate(task["func"])(*task["args"], **task["kwargs"])  # type: ignore[operator]
        except Killed:
            connection.close()
        else:
            row.delete()
        number += 1
    return number


def next_at() -> datetime | None:
    """When a task is given out again whose worker has died."""
    found: datetime | None = OrmQ.objects.aggregate(at=Min("lock"))["at"]
    return found


class Schedules:
    """The daily jobs at their times. What the product does each minute is done when something is due."""

    def __init__(self, begin: datetime) -> None:
        for name in MACHINES:
            set_paused(name, True)
        daily = [job for job in jobs().values() if isinstance(job, DailyJob)]
        self._next = {job.name: next_slot(job.name, begin) for job in daily}

    def next_at(self) -> datetime:
        return min(self._next.values())

    def queue_due(self, now: datetime) -> None:
        if self.next_at() <= now:
            queue_due_jobs(MAIN)
            self._next = {name: next_slot(name, now) for name in self._next}


def run(name: str) -> None:
    """What the product does each minute, once."""
    import_string(jobs()[name].task)()


# About the machines, of which there are none here; and what the proof does once, at the end.
MACHINES = {"prove", "watch_alerts", "look_at_stripe", "queue_unfinished_jobs"}
