import datetime
from typing import Self

from django.db import models
from django.db.models import Q, Value

from csf.clock import Now


class ProofRunQuerySet(models.QuerySet["ProofRun"]):
    def finished(self) -> Self:
        return self.filter(finished_at__isnull=False)


class ProofRun(models.Model):
    """One look at whether the rows contradict each other (csf/proofs/nightly.py). Holds ids, never what is
    in the rows."""

    LEASE = datetime.timedelta(minutes=3)

    class Mode(models.TextChoices):
        FULL = "full", "everything"
        RECENT = "recent", "recent changes"

    mode = models.CharField(max_length=10, choices=Mode.choices)
    since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Large tables were checked from then on; empty if everything was checked.",
    )
    began_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    looked_at = models.PositiveSmallIntegerField(default=0, help_text="Number of invariants checked.")
    broken = models.JSONField(
        default=list, help_text="Number, words, count and some ids of each invariant that does not hold."
    )

    objects = ProofRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "proof"
        constraints = [
            models.UniqueConstraint(
                Value(1), condition=Q(finished_at=None), name="csf_proofrun_one_under_way"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}, {self.began_at:%Y-%m-%d %H:%M}"

    @property
    def lines(self) -> list[str]:
        """What it found, for people."""
        return [
            f"{found['number']} {found['broken']} ({found['count']}): {', '.join(map(str, found['ids']))}"
            for found in self.broken
        ]
