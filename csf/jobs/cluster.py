"""A cluster of workers with a name and a canary of its own.

Any cluster takes any task, so a task that ran says nothing about the other clusters, and a cluster that is
stuck still reports "Idle". So each sends itself a canary every few seconds: through a queue that only its own
pusher reads, through one of its workers, to the process that takes the results. Wherever that chain breaks (a
process was killed while it held a lock of the queues), `Cluster.canary_at` grows old.
"""

import itertools
import logging
import os
import socket
import time
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.dispatch import receiver
from django_q.cluster import Cluster as Processes
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_execute
from django_q.tasks import async_task

from csf import clock
from csf.clock import Now
from csf.jobs.broker import Queue
from csf.jobs.queue import MAIN
from csf.jobs.schedules import queue_due_jobs
from csf.models import Cluster

logger = logging.getLogger(__name__)

CANARY = "csf.tasks.canary"
BEAT_S = 15.0
LOOK_EVERY_S = 5.0
FORGOTTEN_AFTER = timedelta(days=1)


class Broker(Queue):
    """The queue that all clusters share, and now and then the cluster's own. A task taken from that one is
    deleted right away: the next canary comes soon."""

    def __init__(self, own_key: str) -> None:
        super().__init__()
        self.own_key = own_key
        self.next_look = 0.0

    def dequeue(self) -> list[tuple[int, str]] | None:
        return self._own() or super().dequeue()

    def _own(self) -> list[tuple[int, str]]:
        if time.monotonic() < self.next_look:
            return []
        self.next_look = time.monotonic() + LOOK_EVERY_S
        rows = list(self.get_connection().filter(key=self.own_key))
        OrmQ.objects.filter(pk__in=[row.pk for row in rows]).delete()
        return [(row.pk, row.payload) for row in rows]


@receiver(post_execute)
def receive_canary(task: dict[str, Any], **_: Any) -> None:
    """In the process that takes the results, which an error would end."""
    if task["func"] == CANARY and task["success"]:
        try:
            Cluster.canary_came_back(*task["args"])
        except DatabaseError:
            logger.exception("the canary of %s was not recorded", *task["args"])


def run() -> bool:
    """Run the processes of a cluster until they are stopped; False if its guard process ended by itself."""
    here = join()
    broker = Broker(_own_key(here))
    # A child process must not inherit a connection: both would use it.
    connections.close_all()
    processes = Processes(broker=broker)
    processes.start()
    while processes.sentinel.is_alive():
        _beat(here)
        processes.sentinel.join(BEAT_S)
    if not processes.has_stopped:
        return False
    _leave(here)
    return True


def join() -> Cluster:
    """Take the first name of this host that no living cluster has: `host`, `host-2`, and so on; of another
    queue `host-urgent`, `host-urgent-2`."""
    Cluster.objects.filter(stopped_at__lt=Now() - FORGOTTEN_AFTER).delete()
    first = _host() if Conf.CLUSTER_NAME == MAIN else f"{_host()}-{Conf.CLUSTER_NAME}"
    names = (first if number == 1 else f"{first}-{number}" for number in itertools.count(1))
    return next(found for name in names if (found := _take(name)))


def _host() -> str:
    return socket.gethostname()[:50]


@transaction.atomic
def _take(name: str) -> Cluster | None:
    row, _ = Cluster.objects.select_for_update().get_or_create(
        name=name, defaults={"host": _host(), "pid": os.getpid()}
    )
    if row.stopped_at is None and _is_another(row):
        return None
    row.queue, row.host, row.pid = Conf.CLUSTER_NAME, _host(), os.getpid()
    row.started_at = row.seen_at = Now()
    row.canary_at = row.stopped_at = None
    row.save()
    return row


def _is_another(row: Cluster) -> bool:
    """Whether that name belongs to a cluster that may be alive. The number of a dead process is given away
    again, so one without a sign of life does not count."""
    if not is_here(row):
        return True
    is_silent = Cluster.objects.silent().filter(pk=row.pk).exists()
    return row.pid != os.getpid() and is_running(row) and not is_silent


def is_here(cluster: Cluster) -> bool:
    return cluster.host == _host()


def is_running(cluster: Cluster) -> bool:
    """Whether there is a main process of that number on this host."""
    try:
        os.kill(cluster.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _own_key(cluster: Cluster) -> str:
    return f"cluster {cluster.name}"


def _beat(here: Cluster) -> None:
    """Say that we live, send the next canary unless one still waits, and queue the jobs that are due."""
    try:
        fields = {"queue": here.queue, "host": here.host, "pid": here.pid}
        fields |= {"stopped_at": None, "seen_at": Now(), "clock_ahead_s": clock.ahead_s()}
        Cluster.objects.update_or_create(name=here.name, defaults=fields)
        if not OrmQ.objects.filter(key=_own_key(here)).exists():
            async_task(CANARY, here.name, cluster=_own_key(here))
        queue_due_jobs(here.queue)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("cluster %s could not report: %s", here.name, type(error).__name__)
        connections.close_all()


def _leave(here: Cluster) -> None:
    connections.close_all()  # it may have timed out meanwhile
    OrmQ.objects.filter(key=_own_key(here)).delete()
    Cluster.objects.filter(name=here.name, pid=here.pid).update(stopped_at=Now())
