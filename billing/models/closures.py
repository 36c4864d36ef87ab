"""A class, or one of its sessions, that does not take place."""

import uuid

from django.db import models
from django.db.models import Q

from billing.models.cancellations import Terms
from csf import clock
from csf.clock import Now
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models import Course, CourseSession, Enrollment, User


class ClosureStatus(models.TextChoices):
    RUNNING = "running", "in progress"
    DONE = "done", "done"


class Closure(models.Model):
    """A whole class, or one of its sessions, that the school cancels: one decision, processed family by
    family."""

    EDGES = edges({ClosureStatus.RUNNING: {ClosureStatus.DONE}, ClosureStatus.DONE: {ClosureStatus.RUNNING}})

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="closures")
    session = models.OneToOneField(
        CourseSession, null=True, blank=True, on_delete=models.PROTECT, related_name="closure"
    )
    terms = models.CharField(max_length=20, choices=Terms.choices)
    reason = models.CharField(max_length=300)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=20, choices=ClosureStatus.choices, default=ClosureStatus.RUNNING)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "cancelled class"
        verbose_name_plural = "cancelled classes"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["course"], condition=Q(session=None), name="billing_closure_of_a_class_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.session or self.course} is cancelled"


@colours(info="waiting", danger="failed")
class ClosureLineStatus(models.TextChoices):
    WAITING = "waiting", "to do"
    DONE = "done", "done"
    FAILED = "failed", "needs attention"


class ClosureLine(StatefulModel):
    """One place in a class that is closed, and what was done about it."""

    EDGES = edges(
        {
            ClosureLineStatus.WAITING: {ClosureLineStatus.DONE, ClosureLineStatus.FAILED},
            ClosureLineStatus.FAILED: {ClosureLineStatus.WAITING},  # once more
        }
    )

    closure = models.ForeignKey(Closure, on_delete=models.PROTECT, related_name="lines")
    enrollment = models.ForeignKey(Enrollment, on_delete=models.PROTECT, related_name="closure_lines")
    status = models.CharField(
        max_length=20, choices=ClosureLineStatus.choices, default=ClosureLineStatus.WAITING, editable=False
    )
    result = models.CharField(max_length=300, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["closure", "enrollment"], name="billing_closureline_once")
        ]

    def __str__(self) -> str:
        return f"{self.enrollment}: {self.get_status_display()}"

    def finish(self, to: ClosureLineStatus, *, by: User, result: str) -> None:
        """This triggers the family's email about a session. Raises Stale if it is finished already."""
        transition(self, to, by=by, reason=result[:300], result=result[:300], finished_at=clock.now())

    def try_again(self, *, by: User) -> None:
        """Raises Stale unless it has failed."""
        transition(
            self, ClosureLineStatus.WAITING, by=by, reason="once more", tries=0, result="", finished_at=None
        )


class ClosureLineTransition(TransitionRow):
    closureline = models.ForeignKey(ClosureLine, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]
