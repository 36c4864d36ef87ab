"""What changed in an order after it was paid: places given up, and children who moved to another class."""

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.money import Installment
from billing.models.refunds import Dispute
from csf import clock
from csf.state import StatefulModel, TransitionRow, edges, transition
from enrollments.models import Course, CourseSession, Enrollment, User
from orders.models import Order


class Terms(models.TextChoices):
    """What the family gets for a place that is given up."""

    REFUND = "refund", "the full price, back to where it came from"
    PRORATED = "prorated", "the sessions that are left, as credit"
    PRORATED_REFUND = "prorated_refund", "the sessions that are left, back to where it came from"
    CREDIT = "credit", "the full price, as credit"
    NOTHING = "nothing", "nothing"

    @property
    def gives_credit(self) -> bool:
        return self in {Terms.PRORATED, Terms.CREDIT}

    @property
    def is_prorated(self) -> bool:
        return self in {Terms.PRORATED, Terms.PRORATED_REFUND}


class CancellationStatus(models.TextChoices):
    WAITING = "waiting", "waits for a payment that is under way"
    SETTLED = "settled", "settled"


class CancellationQuerySet(models.QuerySet["Cancellation"]):
    def waiting(self) -> Self:
        return self.filter(status=CancellationStatus.WAITING)


class Cancellation(StatefulModel):
    """A place that was given up, and what became of its money.

    The seat is free at once. The money is settled when no charge of the order is under way and no invoice of
    it can be paid any more, mostly in the same moment: then the figures are filled in and the email is owed.
    """

    EDGES = edges({CancellationStatus.WAITING: {CancellationStatus.SETTLED}})

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="cancellations")
    enrollment = models.OneToOneField(Enrollment, on_delete=models.PROTECT, related_name="cancellation")
    terms = models.CharField(max_length=20, choices=Terms.choices)
    value_cents = models.PositiveIntegerField(help_text="What the family no longer owes.")
    stopped_cents = models.PositiveIntegerField(null=True, help_text="Of it, what will not be charged.")
    refund_cents = models.PositiveIntegerField(null=True, help_text="Of it, what goes back, once approved.")
    credit_cents = models.PositiveIntegerField(null=True, help_text="Of it, what became credit.")
    stops = models.JSONField(
        default=list, help_text="Each installment that is charged less: date, cents before and after."
    )
    closure = models.ForeignKey(
        "Closure",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="cancellations",
        help_text="If the class does not take place.",
    )
    by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: the system.",
    )
    reason = models.CharField(max_length=300)
    status = models.CharField(
        max_length=20,
        choices=CancellationStatus.choices,
        default=CancellationStatus.WAITING,
        editable=False,
    )
    requested_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = CancellationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=CancellationStatus.WAITING)
                | Q(stopped_cents__isnull=False, refund_cents__isnull=False, credit_cents__isnull=False),
                name="billing_cancellation_settled_with_figures",
            ),
        ]

    def __str__(self) -> str:
        return f"Cancellation of {self.enrollment}"

    @property
    def waits_for_bank(self) -> bool:
        """Its money cannot become credit while the bank may still take it."""
        return Dispute.objects.undecided().filter(payment__order=self.order_id).exists()

    def settle(
        self, *, stopped_cents: int, refund_cents: int, credit_cents: int, stops: list[dict[str, Any]]
    ) -> None:
        """The family's email hangs on this row, so refunds and credit are written first. Raises Stale."""
        transition(
            self,
            CancellationStatus.SETTLED,
            by=self.by,
            reason=self.reason,
            stopped_cents=stopped_cents,
            refund_cents=refund_cents,
            credit_cents=credit_cents,
            stops=stops,
        )


class CancellationTransition(TransitionRow):
    cancellation = models.ForeignKey(Cancellation, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


class Transfer(models.Model):
    """A child that moved from one class to another. Never changed.

    What it cost more is an installment of its own; what it cost less shortened the open installments, and
    the rest became credit.
    """

    IS_APPEND_ONLY = True

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="transfers")
    left = models.OneToOneField(Enrollment, on_delete=models.PROTECT, related_name="transfer_away")
    joined = models.OneToOneField(Enrollment, on_delete=models.PROTECT, related_name="transfer_here")
    difference_cents = models.IntegerField(help_text="Above zero: the new class costs more.")
    stopped_cents = models.PositiveIntegerField(default=0)
    credit_cents = models.PositiveIntegerField(default=0)
    installment = models.OneToOneField(
        Installment, null=True, blank=True, on_delete=models.PROTECT, related_name="transfer"
    )
    consent = models.TextField(blank=True, help_text="What was agreed about charging the difference.")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.left} to {self.joined.course}"


class ClosureStatus(models.TextChoices):
    RUNNING = "running", "under way"
    DONE = "done", "done"


class Closure(models.Model):
    """A whole class, or one of its sessions, that does not take place: one act, worked off family by
    family."""

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
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["course"], condition=Q(session=None), name="billing_closure_of_a_class_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.session or self.course} is cancelled"


class ClosureLineStatus(models.TextChoices):
    WAITING = "waiting", "still to do"
    DONE = "done", "done"
    FAILED = "failed", "needs a person"


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
        """The family's email about a session hangs on this. Raises Stale if it is finished already."""
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


class WaitlistConsent(models.Model):
    """What a parent agreed to when joining the priority tier: to be charged at once when a seat is free."""

    IS_APPEND_ONLY = True

    enrollment = models.OneToOneField(Enrollment, on_delete=models.PROTECT, related_name="waitlist_consent")
    given_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at_most_cents = models.PositiveIntegerField()
    text = models.TextField()
    text_version = models.CharField(max_length=20)
    address = models.GenericIPAddressField(null=True, blank=True)
    given_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Consent of {self.given_by} for {self.enrollment}"
