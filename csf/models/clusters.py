import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce

from csf.clock import Now


class ClusterQuerySet(models.QuerySet["Cluster"]):
    def expected(self) -> Self:
        """Those that did not sign off."""
        return self.filter(stopped_at=None)

    def silent(self) -> Self:
        """Killed, or cut off from the database."""
        return self.expected().filter(seen_at__lt=Now() - Cluster.SILENT_AFTER)

    def stuck(self) -> Self:
        """They run, but no task comes through."""
        proven_at = Coalesce("canary_at", "started_at")
        proven = self.expected().alias(proven_at=proven_at).filter(proven_at__lt=Now() - Cluster.STUCK_AFTER)
        return proven.filter(seen_at__gte=Now() - Cluster.SILENT_AFTER)

    def well(self) -> Self:
        """Including those that have just started."""
        unwell = self.silent().values("pk").union(self.stuck().values("pk"))
        return self.expected().exclude(pk__in=unwell)

    def for_all_work(self) -> Self:
        """Not those with a queue of their own for one kind of task."""
        return self.filter(queue=settings.Q_CLUSTER["name"])


class Cluster(models.Model):
    """A cluster of workers, by name, and when it was last seen alive (`csf/jobs/cluster.py`).

    Its main process writes `seen_at`. `canary_at` proves more: a task of its own went through its queue, one
    of its workers and the process that takes the results.
    """

    SILENT_AFTER = datetime.timedelta(seconds=90)
    # While all workers are busy a canary waits for two tasks, each of which may take a minute.
    STUCK_AFTER = datetime.timedelta(minutes=3)

    name = models.CharField(max_length=80, unique=True)
    queue = models.CharField(max_length=40, help_text="The queue whose tasks it takes.")
    host = models.CharField(max_length=64)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    canary_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When it was stopped cleanly.")
    clock_ahead_s = models.FloatField(
        "clock ahead, in seconds",
        db_default=0,
        help_text="Compared with the database's clock; negative if the host's clock is behind.",
    )

    objects = ClusterQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def canary_came_back(cls, name: str) -> None:
        cls.objects.filter(name=name).update(canary_at=Now())
