import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext

from billing.models.installments import Installment
from csf.clock import Now
from csf.money import money_text
from orders.models import Order


class PaymentMethod(models.TextChoices):
    STRIPE = "stripe", "card"
    CASH = "cash", "cash"
    CHECK = "check", "check"
    OTHER = "other", "outside Stripe"


class Payment(models.Model):
    """Money that arrived, whatever happened to its order. Never changed; unique by Stripe's PaymentIntent.

    `installment` is empty for money that fits none (too late, twice, wrong amount): staff have a task for it.
    """

    IS_APPEND_ONLY = True

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="payments")
    installment = models.OneToOneField(
        Installment, null=True, blank=True, on_delete=models.PROTECT, related_name="payment"
    )
    amount_cents = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    method = models.CharField(max_length=20, choices=PaymentMethod.choices, default=PaymentMethod.STRIPE)
    stripe_payment_intent_id = models.CharField(max_length=255, unique=True, null=True)
    stripe_invoice_id = models.CharField(max_length=255, unique=True, null=True)
    stripe_charge_id = models.CharField(max_length=255, blank=True)
    card_brand = models.CharField(max_length=30, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    received_at = models.DateTimeField(help_text="When Stripe says the charge was made.")
    check_number = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="billing_payment_amount"),
            models.CheckConstraint(
                condition=Q(method=PaymentMethod.STRIPE, stripe_payment_intent_id__isnull=False)
                | Q(method=PaymentMethod.STRIPE, stripe_invoice_id__isnull=False)
                | Q(method=PaymentMethod.OTHER, stripe_invoice_id__isnull=False)
                | Q(
                    method__in=[PaymentMethod.CASH, PaymentMethod.CHECK],
                    stripe_payment_intent_id=None,
                    stripe_invoice_id=None,
                ),
                name="billing_payment_at_stripe",
            ),
        ]

    def __str__(self) -> str:
        return f"{money_text(self.amount_cents)} for {self.order}"

    @property
    def how(self) -> str:
        """The card, or else the way it came: "Visa ending in 4242", "check 1017"."""
        if self.card_last4:
            return f"{self.card_brand.title() or 'Card'} ending in {self.card_last4}"
        return f"{self.get_method_display()} {self.check_number}".strip()

    @property
    def way_back(self) -> str:
        """How a refund of it reaches the family, in words that follow a verb."""
        match self.method:
            case PaymentMethod.CASH:
                return gettext("in cash")
            case PaymentMethod.CHECK:
                return gettext("by check")
            case PaymentMethod.OTHER:
                return gettext("the way you paid")
        if not self.card_last4:
            return gettext("to the card you paid with")
        if not self.card_brand:
            return gettext("to the card ending in %(last4)s") % {"last4": self.card_last4}
        card = {"brand": self.card_brand.title(), "last4": self.card_last4}
        return gettext("to %(brand)s ending in %(last4)s") % card
