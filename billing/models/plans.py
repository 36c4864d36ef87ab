import datetime
import uuid
from collections.abc import Collection
from typing import Any, Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.plans import Part, schedule
from enrollments.models import Course, Household, User
from orders.models import Order


class PlanInterval(models.TextChoices):
    WEEKLY = "weekly", "every week"
    BIWEEKLY = "biweekly", "every two weeks"
    MONTHLY = "monthly", "every month"


class PaymentPlanQuerySet(models.QuerySet["PaymentPlan"]):
    def offered_for(self, course_ids: Collection[int]) -> "list[PaymentPlan]":
        """Active plans that are meant for every one of these classes."""
        wanted = set(course_ids)
        active = self.filter(is_active=True).prefetch_related("courses")
        meant_for = {plan: {course.pk for course in plan.courses.all()} for plan in active}
        return [plan for plan, courses in meant_for.items() if not courses or wanted <= courses]


class PaymentPlan(models.Model):
    """How an order may be paid in parts. The first part is paid at checkout, the others from the saved
    card."""

    name = models.CharField(max_length=80, unique=True)
    parts = models.PositiveSmallIntegerField(
        "number of installments",
        validators=[MinValueValidator(2), MaxValueValidator(12)],
        help_text="With the first one: 2 to 12.",
    )
    interval = models.CharField(max_length=20, choices=PlanInterval.choices, default=PlanInterval.MONTHLY)
    deposit_bps = models.PositiveIntegerField(
        "deposit", default=0, help_text="Basis points of the total, 2000 is 20 %. Zero: all parts are even."
    )
    courses = models.ManyToManyField(
        Course, blank=True, related_name="payment_plans", help_text="Empty: for all classes."
    )
    is_active = models.BooleanField(default=True)

    objects = PaymentPlanQuerySet.as_manager()

    class Meta:
        ordering = ["parts", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(parts__gte=2, parts__lte=12), name="billing_paymentplan_parts"
            ),
            models.CheckConstraint(condition=Q(deposit_bps__lte=9_900), name="billing_paymentplan_deposit"),
            models.CheckConstraint(
                condition=Q(interval__in=PlanInterval.values), name="billing_paymentplan_interval"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def schedule(
        self, total_cents: int, *, first_on: datetime.date, ends_on: datetime.date
    ) -> list[Part] | None:
        """The parts for a total; None if they would be too small or too late."""
        return schedule(
            total_cents,
            first_on=first_on,
            interval=self.interval,
            parts=self.parts,
            deposit_bps=self.deposit_bps,
            ends_on=ends_on,
        )


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
        User, on_delete=models.PROTECT, related_name="+", help_text="Or who of the staff wrote it down."
    )
    text_version = models.CharField(max_length=20, blank=True)
    text = models.TextField()
    schedule = models.JSONField(default=list, help_text="Number, due date and cents of each part.")
    address = models.GenericIPAddressField(null=True, blank=True)
    given_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Consent for {self.order}" if self.order else f"Consent of {self.given_at:%Y-%m-%d}"


class CardQuerySet(models.QuerySet["Card"]):
    def usable(self) -> Self:
        return self.filter(replaced_at=None, refused_at=None)


class Card(models.Model):
    """A card that a family saved at Stripe. The newest one that is not replaced pays all its open
    installments."""

    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="cards")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    stripe_payment_method_id = models.CharField(max_length=255, unique=True)
    fingerprint = models.CharField(max_length=100, blank=True, db_index=True)
    brand = models.CharField(max_length=30, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True)
    exp_year = models.PositiveSmallIntegerField(null=True)
    saved_at = models.DateTimeField(db_default=Now(), editable=False)
    replaced_at = models.DateTimeField(null=True, blank=True)
    refused_at = models.DateTimeField(
        null=True, blank=True, help_text="After a hard decline: never charged again by us."
    )

    objects = CardQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["household"], condition=Q(replaced_at=None), name="billing_card_one_current"
            )
        ]

    def __str__(self) -> str:
        return f"{self.brand.title() or 'Card'} ending in {self.last4}"

    def expires_before(self, on: datetime.date) -> bool:
        """A card works to the end of its month."""
        if not self.exp_year or not self.exp_month:
            return False
        return (self.exp_year, self.exp_month) < (on.year, on.month)


class CardUpdate(models.Model):
    """A parent who went to Stripe's page to save another card, and whether it may be charged at once for what
    was due that day."""

    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="card_updates")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    charge_now = models.BooleanField(default=False)
    stripe_session_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, editable=False, help_text="When the card was saved.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Card update of {self.household}"


def card_columns(method: Any) -> dict[str, Any]:
    """From a Stripe payment method."""
    card = method.get("card") or {}
    return {
        "fingerprint": card.get("fingerprint") or "",
        "brand": card.get("brand") or "",
        "last4": card.get("last4") or "",
        "exp_month": card.get("exp_month"),
        "exp_year": card.get("exp_year"),
    }
