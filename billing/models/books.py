from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.payments import Payment
from csf.clock import Now
from enrollments.models import Household, User


class KnownIntent(models.Model):
    """What a PaymentIntent without our metadata is for, which only Stripe can tell; asked once."""

    stripe_payment_intent_id = models.CharField(max_length=255, unique=True)
    payment = models.OneToOneField(
        Payment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="known_intent",
        help_text="Empty for another use of the account.",
    )

    def __str__(self) -> str:
        return f"{self.stripe_payment_intent_id} for {self.payment or 'none of ours'}"

    @classmethod
    def remember(cls, stripe_payment_intent_id: str, payment: Payment | None) -> None:
        found = KnownIntent(stripe_payment_intent_id=stripe_payment_intent_id, payment=payment)
        KnownIntent.objects.bulk_create([found], ignore_conflicts=True)


class ComparedDay(models.Model):
    """A day (in UTC) on which our books were compared with Stripe's, and how many objects it has there."""

    day = models.DateField(unique=True)
    compared_at = models.DateTimeField(db_default=Now())
    payments = models.PositiveIntegerField(default=0)
    refunds = models.PositiveIntegerField(default=0)
    disputes = models.PositiveIntegerField(default=0)
    open_invoices = models.PositiveIntegerField(default=0)
    foreign = models.PositiveIntegerField(
        "not ours", default=0, help_text="Payments of another use of the account."
    )

    class Meta:
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.day}"


class BookDifferenceQuerySet(models.QuerySet["BookDifference"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)


class BookDifference(models.Model):
    """Something about which our books and Stripe's do not agree, until they do or a person has explained it.

    Unique by Stripe's id: an event and the nightly comparison that find the same thing report it once.
    """

    class Subject(models.TextChoices):
        PAYMENT = "payment", "payment"
        REFUND = "refund", "refund"
        DISPUTE = "dispute", "dispute"
        INVOICE = "invoice", "invoice"

    subject = models.CharField(max_length=20, choices=Subject.choices)
    stripe_id = models.CharField(max_length=255, unique=True)
    ours = models.CharField("our books", max_length=200, blank=True, help_text="Empty if there is nothing.")
    theirs = models.CharField(
        "Stripe's books", max_length=200, blank=True, help_text="Empty if there is nothing."
    )
    household = models.ForeignKey(
        Household,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="book_differences",
        verbose_name="family",
        help_text="As far as known.",
    )
    found_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty although closed: both books agree again.",
    )
    explanation = models.CharField(max_length=300, blank=True)

    objects = BookDifferenceQuerySet.as_manager()

    class Meta:
        verbose_name = "difference with Stripe"
        verbose_name_plural = "differences with Stripe"
        ordering = ["-found_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_by=None) | (Q(closed_at__isnull=False) & ~Q(explanation="")),
                name="billing_bookdifference_explained",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_display().capitalize()} {self.stripe_id}"

    @property
    def detail(self) -> str:
        ours, theirs = self.ours or "nothing", self.theirs or "nothing"
        family = f" Family: {self.household}." if self.household else ""
        return f"{self}: our books: {ours}; Stripe: {theirs}.{family} {self.url}"

    @property
    def url(self) -> str:
        return stripe_url(self.stripe_id)


# The pages of Stripe's dashboard, by the prefix of an id.
_PAGES = {"pi": "payments", "ch": "payments", "in": "invoices", "du": "disputes", "dp": "disputes"}


def stripe_url(stripe_id: str) -> str:
    """Where a person sees the object in Stripe's dashboard."""
    mode = "" if settings.STRIPE_LIVE_MODE else "test/"
    page = _PAGES.get(stripe_id.partition("_")[0])
    found = f"{page}/{stripe_id}" if page else f"search?query={stripe_id}"
    return f"https://dashboard.stripe.com/{mode}{found}"
