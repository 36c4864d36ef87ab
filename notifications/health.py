"""Whether the whole system moves: for `/readyz`, for `manage.py cluster_health` and for whoever is called at
night.

A Django-Q2 cluster that stands still goes on reporting "Idle", so its own status is not asked. What proves
that scheduler, queue and workers move is the canary; what proves that results are acknowledged is the number
of locked tasks, which can never be more than fit into the cluster's memory.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from billing.models import StripeEvent, StripeEventStatus
from csf.models import Canary, Instance
from notifications.models import EmailMessage

CANARY_MAX_AGE = timedelta(minutes=3)
TASK_MAX_WAIT = timedelta(minutes=2)
EMAIL_MAX_WAIT = timedelta(minutes=5)
EVENT_MAX_WAIT = timedelta(minutes=15)


def problems(*, clusters: int = 1) -> list[str]:
    """What is wrong, in words; empty if all is well. `clusters` is how many run on this database."""
    if why := Instance.why_quarantined():  # then a backlog is no news
        return [f"nothing is sent or charged: {why}", *_queue_problems(clusters)]
    return [*_queue_problems(clusters), *_backlog_problems()]


def _queue_problems(clusters: int) -> Iterator[str]:
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


def _backlog_problems() -> Iterator[str]:
    late = EmailMessage.objects.due().filter(next_attempt_at__lt=Now() - EMAIL_MAX_WAIT).count()
    if late:
        yield f"{late} emails are overdue by more than {EMAIL_MAX_WAIT}"
    parked = StripeEvent.objects.filter(status=StripeEventStatus.PARKED).count()
    if parked:
        yield f"{parked} Stripe events are parked"
    slow = StripeEvent.objects.filter(
        status=StripeEventStatus.RECEIVED, received_at__lt=Now() - EVENT_MAX_WAIT
    ).count()
    if slow:
        yield f"{slow} Stripe events wait for more than {EVENT_MAX_WAIT}"
