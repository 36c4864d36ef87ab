import datetime
import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.consents import Consent
from csf.clock import Now
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models import User
from orders.models import Order, OrderStatus


@colours(success="paid", info="charging", warning="retry_wait needs_card needs_auth")
class InstallmentStatus(models.TextChoices):
    SCHEDULED = "scheduled", _("scheduled")
    CHARGING = "charging", _("being paid")
    PAID = "paid", _("paid")
    RETRY_WAIT = "retry_wait", _("waiting for the next try")
    NEEDS_CARD = "needs_card", _("needs another card")
    NEEDS_AUTH = "needs_auth", _("needs your bank's confirmation")
    EXHAUSTED = "exhausted", _("could not be charged")
    CANCELLED = "cancelled", _("cancelled")
    WAIVED = "waived", _("waived")


OPEN_INSTALLMENT = [
    InstallmentStatus.SCHEDULED,
    InstallmentStatus.CHARGING,
    InstallmentStatus.RETRY_WAIT,
    InstallmentStatus.NEEDS_CARD,
    InstallmentStatus.NEEDS_AUTH,
    InstallmentStatus.EXHAUSTED,
]


# Where the parent, a new card, or staff can make it be charged.
CHARGEABLE = [status for status in OPEN_INSTALLMENT if status != InstallmentStatus.CHARGING]


class InstallmentQuerySet(models.QuerySet["Installment"]):
    def open(self) -> Self:
        return self.filter(status__in=OPEN_INSTALLMENT)

    def overdue(self, on: datetime.date) -> Self:
        """Open and due before this day, in confirmed orders."""
        return self.open().filter(due_on__lt=on, order__status=OrderStatus.CONFIRMED)


# Any open one but a charging one can be paid on Stripe's page or offline, waived or cancelled.
_SETTLED = {InstallmentStatus.PAID, InstallmentStatus.WAIVED, InstallmentStatus.CANCELLED}


class Installment(StatefulModel):
    """A part of an order's total with its own due date. Paying in full is one installment, due at
    checkout."""

    EDGES = edges(
        {
            InstallmentStatus.SCHEDULED: {
                InstallmentStatus.CHARGING,
                InstallmentStatus.NEEDS_CARD,  # its card cannot be charged, so nothing was tried
                *_SETTLED,
            },
            InstallmentStatus.CHARGING: {
                InstallmentStatus.PAID,
                InstallmentStatus.SCHEDULED,  # a payment page closed without money, or nothing was executed
                InstallmentStatus.RETRY_WAIT,
                InstallmentStatus.NEEDS_CARD,
                InstallmentStatus.NEEDS_AUTH,
                InstallmentStatus.EXHAUSTED,  # Stripe refused, or took money that is not what was agreed
            },
            InstallmentStatus.RETRY_WAIT: {
                InstallmentStatus.CHARGING,
                InstallmentStatus.EXHAUSTED,
                InstallmentStatus.NEEDS_CARD,  # the card was refused for good on another order
                *_SETTLED,
            },
            InstallmentStatus.NEEDS_CARD: {
                InstallmentStatus.CHARGING,
                InstallmentStatus.RETRY_WAIT,
                *_SETTLED,
            },
            InstallmentStatus.NEEDS_AUTH: {
                InstallmentStatus.CHARGING,
                InstallmentStatus.RETRY_WAIT,
                *_SETTLED,
            },
            InstallmentStatus.EXHAUSTED: {
                InstallmentStatus.CHARGING,
                InstallmentStatus.SCHEDULED,  # staff agreed on a new date
                InstallmentStatus.RETRY_WAIT,
                *_SETTLED,
            },
            # Money that came after its order had expired, when every seat could be taken again: the part it
            # pays, and the later parts of its plan.
            InstallmentStatus.CANCELLED: {InstallmentStatus.PAID, InstallmentStatus.SCHEDULED},
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="installments")
    number = models.PositiveSmallIntegerField()
    due_on = models.DateField()
    amount_cents = models.PositiveIntegerField()
    status = models.CharField(
        max_length=20, choices=InstallmentStatus.choices, default=InstallmentStatus.SCHEDULED, editable=False
    )
    next_try_on = models.DateField(null=True, blank=True, editable=False)
    held_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="On hold since then: not charged."
    )
    consent = models.ForeignKey(
        Consent,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="installments",
        editable=False,
        help_text=(
            "The consent under which a saved card may be charged for it. Without one, the family pays it "
            "itself."
        ),
    )
    stripe_invoice_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    invoice_closed_at = models.DateTimeField(
        null=True, editable=False, help_text="When that invoice was seen to be unpayable for good."
    )
    invoice_number = models.PositiveSmallIntegerField(
        default=1, editable=False, help_text="Of its open invoice, or of the next one."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = InstallmentQuerySet.as_manager()

    class Meta:
        ordering = ["order", "number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=InstallmentStatus.values), name="billing_installment_status"
            ),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="billing_installment_amount"),
            models.UniqueConstraint(fields=["order", "number"], name="billing_installment_number"),
            models.CheckConstraint(
                condition=Q(status=InstallmentStatus.RETRY_WAIT, next_try_on__isnull=False)
                | (~Q(status=InstallmentStatus.RETRY_WAIT) & Q(next_try_on=None)),
                name="billing_installment_next_try",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_on"], condition=Q(status__in=OPEN_INSTALLMENT), name="billing_installment_open"
            ),
        ]
        permissions = [
            ("retry_installment", "Can charge an installment now"),
            ("hold_installment", "Can hold an installment and release it"),
            ("move_installment", "Can move and split an installment"),
            ("waive_installment", "Can waive and cancel an installment"),
            ("record_offline_installment", "Can record cash or a check for an installment"),
        ]

    def __str__(self) -> str:
        return f"{self.order}, part {self.number}"

    @property
    def is_settled(self) -> bool:
        return self.status in _SETTLED

    @property
    def agreed_on(self) -> datetime.date:
        """The date that its consent names; of what took the place of another, the date that it has."""
        schedule = self.consent.schedule if self.consent else []
        dates = (part["due_on"] for part in schedule if part["number"] == self.number)
        return next(map(datetime.date.fromisoformat, dates), self.due_on)

    def start_charging(self, *, by: User | None = None, reason: str = "") -> None:
        transition(self, InstallmentStatus.CHARGING, by=by, reason=reason, next_try_on=None)

    def pay(self, *, reason: str) -> None:
        """Its money is here; the caller writes the Payment in the same transaction. Raises Stale."""
        transition(self, InstallmentStatus.PAID, reason=reason, next_try_on=None)

    def wait_until(self, day: datetime.date, *, by: User | None = None, reason: str) -> None:
        """A soft decline: the same card again on that local date. Raises Stale."""
        transition(self, InstallmentStatus.RETRY_WAIT, by=by, reason=reason, next_try_on=day)

    def transition_to(self, to: InstallmentStatus, *, by: User | None = None, reason: str) -> None:
        """Any other change of status; it clears the date of the next try. Raises Stale."""
        transition(self, to, by=by, reason=reason, next_try_on=None)

    def cancel(self, *, by: User | None = None, reason: str) -> None:
        """It is no longer owed. Raises Stale, also while a payment page for it is open."""
        self.transition_to(InstallmentStatus.CANCELLED, by=by, reason=reason)

    def stop_charging(self, *, reason: str) -> None:
        """The payment page closed without money; it may be tried again. Raises Stale."""
        transition(self, InstallmentStatus.SCHEDULED, reason=reason)


class InstallmentTransition(TransitionRow):
    installment = models.ForeignKey(Installment, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


class InstallmentNote(models.Model):
    """What staff did to an installment and why. Never changed."""

    IS_APPEND_ONLY = True

    installment = models.ForeignKey(Installment, on_delete=models.PROTECT, related_name="notes")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.CharField(max_length=500)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text


OWN_FAMILY = "This is your own family, so someone else must do it."
