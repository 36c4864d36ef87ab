"""Whether this installation can do its work: for `/readyz`, and for the watchdog of the cluster.

A Django-Q2 cluster that stands still goes on reporting "Idle", so its own status is not asked. What proves
that scheduler, queue and workers move is the canary; what proves that results are acknowledged is the number
of locked tasks, which can never be more than fit into the cluster's memory.

What only needs a person (late emails, parked events) is no reason to take the site away or to restart
anything: `notifications.watch.alerts` tells of it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from csf.models import Canary, Instance

CANARY_MAX_AGE = timedelta(minutes=3)
TASK_MAX_WAIT = timedelta(minutes=2)


def problems(*, clusters: int = 1) -> list[str]:
    """Why it is unfit, in words; empty if all is well. `clusters` is how many run on this database."""
    why = Instance.why_quarantined()
    quarantined = [f"nothing is sent or charged: {why}"] if why else []
    return [*quarantined, *queue_problems(clusters)]


def queue_problems(clusters: int = 1) -> Iterator[str]:
    """Signs that the cluster stands still or loses results: a restart helps."""
    if not Canary.objects.filter(sang_at__gte=Now() - CANARY_MAX_AGE).exists():
        yield f"no scheduled task has run for {CANARY_MAX_AGE}: is a cluster running?"
    now = timezone.now()
    # Django-Q2 marks a task as taken by moving `lock` into the future, by `retry` seconds.
    waiting = OrmQ.objects.filter(lock__lt=now - TASK_MAX_WAIT).count()
    if waiting:
        yield f"{waiting} queued tasks wait for more than {TASK_MAX_WAIT}"
    cluster: dict[str, Any] = settings.Q_CLUSTER
    fit_in_memory = clusters * (cluster["workers"] + cluster["queue_limit"] + cluster["bulk"])
    taken = OrmQ.objects.filter(lock__gt=now).count()
    if taken > fit_in_memory:
        yield f"{taken} tasks are taken but {fit_in_memory} fit: restart the cluster, it loses results"
