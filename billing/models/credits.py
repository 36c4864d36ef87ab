import uuid
from typing import Self

from django.db import models
from django.db.models import Q, Sum

from csf.clock import Now
from enrollments.models import Household, User
from orders.models import Order


class CreditCause(models.TextChoices):
    CANCELLATION = "cancellation", "for a cancelled class"
    SESSION = "session", "for a cancelled session"
    TRANSFER = "transfer", "for a move to a class that costs less"
    REFUND = "refund", "in place of a refund"
    GRANTED = "granted", "added by the office"
    SPENT = "spent", "used for an order"
    RETURNED = "returned", "returned from an order that was not paid"
    EXPIRED = "expired", "expired"
    TAKEN_BACK = "taken_back", "removed by the office"


GIVEN = [
    CreditCause.CANCELLATION,
    CreditCause.SESSION,
    CreditCause.TRANSFER,
    CreditCause.REFUND,
    CreditCause.GRANTED,
]
TAKEN = [CreditCause.SPENT, CreditCause.EXPIRED, CreditCause.TAKEN_BACK]


class CreditQuerySet(models.QuerySet["Credit"]):
    def balance_cents(self) -> int:
        """What these rows add up to."""
        return self.aggregate(sum=Sum("amount_cents"))["sum"] or 0

    def grants(self) -> Self:
        return self.filter(cause__in=GIVEN)


class Credit(models.Model):
    """One line of a family's account: what it may spend on classes. Never changed; the sum is the balance.

    Written by `billing.ledger.credits`, under the family's lock.
    """

    IS_APPEND_ONLY = True

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="credits")
    amount_cents = models.IntegerField(help_text="Above zero: given to the family.")
    cause = models.CharField(max_length=20, choices=CreditCause.choices)
    reason = models.CharField(max_length=300, blank=True)
    by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty if the system did it.",
    )
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="credits")
    cancellation = models.ForeignKey(
        "Cancellation", null=True, blank=True, on_delete=models.PROTECT, related_name="credits"
    )
    closure_line = models.OneToOneField(
        "ClosureLine", null=True, blank=True, on_delete=models.PROTECT, related_name="credit"
    )
    expires_on = models.DateField(null=True, blank=True, help_text="The last day on which it can be spent.")
    grant = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="expiries",
        help_text="The credit that ran out; once more if an order gave some of it back later.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = CreditQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(cause__in=TAKEN, amount_cents__lt=0)
                | ~Q(cause__in=TAKEN) & Q(amount_cents__gt=0),
                name="billing_credit_amount",
            ),
            models.CheckConstraint(condition=Q(cause__in=CreditCause.values), name="billing_credit_cause"),
            models.CheckConstraint(
                condition=~Q(cause__in=[CreditCause.SPENT, CreditCause.RETURNED]) | Q(order__isnull=False),
                name="billing_credit_of_an_order",
            ),
            models.CheckConstraint(
                condition=~Q(cause=CreditCause.EXPIRED) | Q(grant__isnull=False),
                name="billing_credit_that_ran_out",
            ),
            # An order is paid with credit once, and returns it once.
            models.UniqueConstraint(
                fields=["order", "cause"],
                condition=Q(cause__in=[CreditCause.SPENT, CreditCause.RETURNED]),
                name="billing_credit_once_an_order",
            ),
        ]

    def __str__(self) -> str:
        return f"Credit of {self.household}: {self.get_cause_display()}"
