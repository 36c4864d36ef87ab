from django.db import models

from billing.models.plans import PaymentPlan
from enrollments.models import Enrollment, User
from orders.models import Order


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


class Consent(models.Model):
    """What a parent agreed to: these charges, on these dates, from a saved card. Each installment names the
    one that it may be charged under."""

    IS_APPEND_ONLY = True

    order = models.OneToOneField(
        Order,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="consent",
        help_text="If it was given for the order as a whole; empty for what one move costs more.",
    )
    plan = models.ForeignKey(
        PaymentPlan,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty for a single charge: a move to another class, or a place from the waitlist.",
    )
    given_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", help_text="Or the member of staff who recorded it."
    )
    text_version = models.CharField(max_length=20, blank=True)
    text = models.TextField()
    schedule = models.JSONField(default=list, help_text="Number, due date and cents of each part.")
    other_orders = models.ManyToManyField(
        Order, blank=True, related_name="+", help_text="What else the card of this order should pay for."
    )
    address = models.GenericIPAddressField(null=True, blank=True)
    given_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Consent for {self.order}" if self.order else f"Consent of {self.given_at:%Y-%m-%d}"
