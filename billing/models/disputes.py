from typing import Self

from django.db import models

from billing.models.payments import Payment

INQUIRY = "warning_"


class DisputeQuerySet(models.QuerySet["Dispute"]):
    def undecided(self) -> Self:
        """The bank has the money, or may still take it. An inquiry (`warning_...`) has taken nothing, and a
        refund is the way to end it."""
        return self.filter(closed_at=None).exclude(status__startswith=INQUIRY)


class Dispute(models.Model):
    """A payment that the family's bank took back, or may take back. Stripe decides the outcome."""

    stripe_id = models.CharField(max_length=255, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    amount_cents = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=60, blank=True, help_text="As Stripe calls it.")
    status = models.CharField(max_length=40, help_text="As Stripe calls it.")
    evidence_due_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = DisputeQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-pk"]

    def __str__(self) -> str:
        return f"Dispute about {self.payment}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def is_inquiry(self) -> bool:
        return self.status.startswith(INQUIRY)
