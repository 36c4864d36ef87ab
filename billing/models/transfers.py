import uuid

from django.db import models

from billing.models.installments import Installment
from csf.clock import Now
from enrollments.models import Enrollment, User
from orders.models import Order


class Transfer(models.Model):
    """A child that moved from one class to another. Never changed.

    What it cost more is an installment of its own; what it cost less reduced the open installments, and the
    rest became credit.
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
