import datetime
from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from billing.plan_schedule import Part, schedule
from enrollments.models import Course


class PlanInterval(models.TextChoices):
    WEEKLY = "weekly", "every week"
    BIWEEKLY = "biweekly", "every two weeks"
    MONTHLY = "monthly", "every month"


class PaymentPlanQuerySet(models.QuerySet["PaymentPlan"]):
    def offered_for(self, course_ids: Collection[int]) -> "list[PaymentPlan]":
        """Active plans that are meant for every one of these classes."""
        wanted, some = set(course_ids), Q(courses__isnull=False)
        active = self.filter(is_active=True).annotate(meant_for=ArrayAgg("courses", filter=some, default=[]))
        ordered: Iterable[Any] = active.order_by("parts", "name")  # a grouped query has no order by itself
        return [plan for plan in ordered if not plan.meant_for or wanted.issubset(plan.meant_for)]


class PaymentPlan(models.Model):
    """How an order may be paid in parts. The first part is paid at checkout, the others from the saved
    card."""

    name = models.CharField(max_length=80, unique=True)
    parts = models.PositiveSmallIntegerField(
        "number of installments",
        validators=[MinValueValidator(2), MaxValueValidator(12)],
        help_text="Including the first one, 2 to 12.",
    )
    interval = models.CharField(max_length=20, choices=PlanInterval.choices, default=PlanInterval.MONTHLY)
    deposit_bps = models.PositiveIntegerField(
        "deposit", default=0, help_text="Basis points of the total: 2000 is 20%. Zero for equal installments."
    )
    courses = models.ManyToManyField(
        Course, blank=True, related_name="payment_plans", help_text="Leave empty for all classes."
    )
    is_active = models.BooleanField(default=True)
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Archived: hidden from lists and choices since then."
    )

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
