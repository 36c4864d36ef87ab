from django.db import models

from enrollments.models import Household


class StripeCustomer(models.Model):
    """Which Stripe customer stands for a household. The id is empty until Stripe has answered."""

    household = models.OneToOneField(Household, on_delete=models.PROTECT, related_name="stripe_customer")
    stripe_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    livemode = models.BooleanField(default=False, editable=False)
    number = models.PositiveSmallIntegerField(
        default=1, editable=False, help_text="Counts the household's customers; earlier ones are gone."
    )

    def __str__(self) -> str:
        return self.stripe_id or f"(new) {self.household}"

    def key(self, step: str) -> str:
        """The idempotency key of something that is made for this very customer."""
        return step if self.number == 1 else f"{step}:{self.number}"
