import datetime
import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext

from billing.models.disputes import Dispute
from billing.models.payments import Payment
from csf.clock import Now
from csf.money import money_text
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models import User
from orders.models import Order


@colours(success="succeeded", info="approved sending", warning="requested unknown", danger="rejected failed")
class RefundStatus(models.TextChoices):
    REQUESTED = "requested", "to be approved"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    SENDING = "sending", "on its way"
    UNKNOWN = "unknown", "outcome not known"
    SUCCEEDED = "succeeded", "refunded"
    FAILED = "failed", "failed"
    EXTERNAL = "external", "made at Stripe"


class RefundMethod(models.TextChoices):
    """How money goes back: the way it came, or another way if the card does not take it."""

    STRIPE = "stripe", "card"
    CASH = "cash", "cash"
    CHECK = "check", "check"
    OTHER = "other", "outside Stripe"
    CREDIT = "credit", "credit on the family's account"


class RefundCause(models.TextChoices):
    CANCELLATION = "cancellation", "a class was cancelled"
    TAKEN_OVER = "taken_over", "a family from the waitlist took the place"
    UNMATCHED = "unmatched", "the payment matches no open installment"
    STAFF = "staff", "staff decided"
    DASHBOARD = "dashboard", "made in Stripe's dashboard"
    DISPUTE = "dispute", "a dispute was lost"


# What counts as given back, or as promised: it cannot be promised again.
COUNTED = [
    RefundStatus.REQUESTED,
    RefundStatus.APPROVED,
    RefundStatus.SENDING,
    RefundStatus.UNKNOWN,
    RefundStatus.SUCCEEDED,
    RefundStatus.EXTERNAL,
]


GONE_BACK = [RefundStatus.SUCCEEDED, RefundStatus.EXTERNAL]


class RefundQuerySet(models.QuerySet["Refund"]):
    def counted(self) -> Self:
        return self.filter(status__in=COUNTED)

    def gone_since(self, moment: datetime.datetime) -> Self:
        """Those whose money has gone back since then."""
        made = RefundTransition.objects.filter(
            refund=OuterRef("pk"), to_status__in=GONE_BACK, created_at__gte=moment
        )
        external = Q(status=RefundStatus.EXTERNAL, created_at__gte=moment)
        return self.filter(Exists(made) | external, status__in=GONE_BACK)

    def waiting(self) -> Self:
        """Those that a worker may take: approved ones, and sent ones that are to be looked at again."""
        look = Q(status__in=[RefundStatus.UNKNOWN, RefundStatus.SENDING], next_look_at__lte=Now())
        free = Q(leased_until=None) | Q(leased_until__lt=Now())
        # While the bank disputes a payment, it may take the money itself.
        disputed = Exists(Dispute.objects.undecided().filter(payment=OuterRef("payment")))
        approved = Q(~disputed, status=RefundStatus.APPROVED)
        return self.filter(free, approved | look, method=RefundMethod.STRIPE)


class Refund(StatefulModel):
    """Money of one payment that goes back. Its public id makes Stripe's idempotency key."""

    EDGES = edges(
        {
            RefundStatus.REQUESTED: {RefundStatus.APPROVED, RefundStatus.REJECTED},
            RefundStatus.APPROVED: {
                RefundStatus.SENDING,
                RefundStatus.SUCCEEDED,  # cash is handed over, credit is given
                RefundStatus.REJECTED,  # the bank has given the money back after a dispute
            },
            RefundStatus.SENDING: {RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.UNKNOWN},
            RefundStatus.UNKNOWN: {
                RefundStatus.SENDING,  # the same refund again, under the same key
                RefundStatus.SUCCEEDED,
                RefundStatus.FAILED,
            },
            RefundStatus.SUCCEEDED: {RefundStatus.FAILED},  # the bank sent it back days later
            RefundStatus.EXTERNAL: {RefundStatus.FAILED},
            RefundStatus.FAILED: {RefundStatus.SUCCEEDED},  # Stripe did not know it, but made it
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    cancellation = models.ForeignKey(
        "Cancellation", null=True, blank=True, on_delete=models.PROTECT, related_name="refunds"
    )
    amount_cents = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    method = models.CharField(max_length=20, choices=RefundMethod.choices)
    cause = models.CharField(max_length=20, choices=RefundCause.choices)
    reason = models.CharField(max_length=300)
    status = models.CharField(
        max_length=20, choices=RefundStatus.choices, default=RefundStatus.REQUESTED, editable=False
    )
    requested_by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty if the system did it.",
    )
    is_by_rule = models.BooleanField(
        "approved by rule",
        default=False,
        editable=False,
        help_text="Within the policy and the limit set by the owner.",
    )
    needs_second_person = models.BooleanField(default=False, editable=False)
    approved_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    stripe_refund_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    stripe_payment_intent_id = models.CharField(max_length=255, blank=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    next_look_at = models.DateTimeField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = RefundQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("approve_refund", "Can approve or reject a refund")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=RefundStatus.values), name="billing_refund_status"),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="billing_refund_amount"),
            models.CheckConstraint(
                condition=Q(needs_second_person=False)
                | Q(approved_by=None)
                | Q(requested_by=None)
                | ~Q(approved_by=F("requested_by")),
                name="billing_refund_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"Refund of {money_text(self.amount_cents)} for {self.order}"

    @property
    def way_back(self) -> str:
        """How it reaches the family, in words that follow a verb."""
        match self.method:
            case RefundMethod.CASH:
                return gettext("in cash")
            case RefundMethod.CHECK:
                return gettext("by check")
            case RefundMethod.CREDIT:
                return gettext("as credit on your account")
        return self.payment.way_back

    def transition_to(
        self, to: RefundStatus, *, by: User | None = None, reason: str = "", **columns: Any
    ) -> None:
        """Raises Stale if the refund has moved meanwhile."""
        transition(self, to, by=by, reason=reason, **columns)


class RefundTransition(TransitionRow):
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]
