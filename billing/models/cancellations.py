import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q

from billing.models.disputes import Dispute
from csf.clock import Now
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models import Enrollment, User
from orders.models import Order


class Terms(models.TextChoices):
    """What the family gets for a cancelled place."""

    REFUND = "refund", "the full price, refunded the way it was paid"
    PRORATED = "prorated", "the remaining sessions, as credit"
    PRORATED_REFUND = "prorated_refund", "the remaining sessions, refunded the way they were paid"
    CREDIT = "credit", "the full price, as credit"
    NOTHING = "nothing", "nothing"

    @property
    def gives_credit(self) -> bool:
        return self in {Terms.PRORATED, Terms.CREDIT}

    @property
    def is_prorated(self) -> bool:
        return self in {Terms.PRORATED, Terms.PRORATED_REFUND}


@colours(info="waiting")
class CancellationStatus(models.TextChoices):
    WAITING = "waiting", "waiting for a payment in progress"
    SETTLED = "settled", "settled"


class CancellationQuerySet(models.QuerySet["Cancellation"]):
    def waiting(self) -> Self:
        return self.filter(status=CancellationStatus.WAITING)


class Cancellation(StatefulModel):
    """A cancelled place, and what happened to its money.

    The seat is free at once. The money is settled when no charge of the order is under way and no invoice of
    it can be paid any more, usually in the same moment: then the figures are filled in and the email is
    queued.
    """

    EDGES = edges({CancellationStatus.WAITING: {CancellationStatus.SETTLED}})

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="cancellations")
    enrollment = models.OneToOneField(Enrollment, on_delete=models.PROTECT, related_name="cancellation")
    terms = models.CharField(max_length=20, choices=Terms.choices)
    value_cents = models.PositiveIntegerField(help_text="The amount the family no longer owes.")
    stopped_cents = models.PositiveIntegerField(
        null=True, help_text="The part of it that will not be charged."
    )
    refund_cents = models.PositiveIntegerField(
        null=True, help_text="The part of it that is refunded, once approved."
    )
    credit_cents = models.PositiveIntegerField(null=True, help_text="The part of it that became credit.")
    stops = models.JSONField(
        default=list, help_text="Each installment that is charged less: date, cents before and after."
    )
    closure = models.ForeignKey(
        "Closure",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="cancellations",
        help_text="If the school cancelled the class.",
    )
    by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty if the system did it.",
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
        """This row triggers the family's email, so refunds and credit are written first. Raises Stale."""
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
