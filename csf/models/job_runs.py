from django.db import models

from csf.clock import Now
from csf.state import colours, edges


class JobRun(models.Model):
    """One run of a daily job for a local date. A missing row raises the alarm."""

    @colours(danger="failed")
    class Status(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    EDGES = edges(
        {
            Status.RUNNING: {Status.RUNNING, Status.DONE, Status.FAILED},  # to itself: taken over
            Status.FAILED: {Status.RUNNING},
        }
    )

    job = models.CharField(max_length=60)
    on = models.DateField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.RUNNING)
    lease_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    covered_by = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        help_text="The later run that did the work of this day.",
    )
    report = models.JSONField(
        default=dict, help_text="Counts, and each row that was skipped with the reason."
    )

    class Meta:
        ordering = ["-on", "job"]
        constraints = [models.UniqueConstraint(fields=["job", "on"], name="csf_jobrun_once_a_day")]

    def __str__(self) -> str:
        return f"{self.job} {self.on}"

    @property
    def summary_line(self) -> str:
        done, failed = self.report.get("done", 0), self.report.get("failed", 0)
        return f"done={done} skipped={len(self.report.get('skipped', []))} failed={failed}"
