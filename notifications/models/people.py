"""What a person chose about our emails, and the addresses that get none."""

from collections.abc import Iterable
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q

from csf.clock import Now
from csf.state import colours


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def in_force(self) -> Self:
        return self.filter(lifted_at=None)

    def at(self, addresses: Iterable[str]) -> Self:
        return self.filter(address__in={address.lower() for address in addresses})

    def begin(self, rows: "Iterable[Suppression]") -> None:
        """Those of which none is in force yet; sorted, so that two who begin several never wait in a
        circle."""
        self.bulk_create(sorted(rows, key=lambda row: (row.address, row.scope)), ignore_conflicts=True)

    def lift(self, *, reason: str, by: AbstractBaseUser | None = None) -> int:
        return self.in_force().update(lifted_at=Now(), lifted_by=by, lift_reason=reason)


class Suppression(models.Model):
    """An address that gets no email, or none but the essential, from when it began until it was lifted."""

    class Scope(models.TextChoices):
        ALL = "all", "no email at all"
        NON_ESSENTIAL = "non_essential", "only essential emails"

    @colours(danger="bounced")
    class Cause(models.TextChoices):
        BOUNCED = "bounced", "the address does not accept email"
        COMPLAINED = "complained", "our email was marked as spam"
        STAFF = "staff", "stopped by staff"

    address = models.EmailField(help_text="In lower case.")
    scope = models.CharField(max_length=20, choices=Scope.choices)
    cause = models.CharField(max_length=20, choices=Cause.choices)
    detail = models.CharField(max_length=1000, blank=True, help_text="The provider's message, or the reason.")
    began_at = models.DateTimeField(db_default=Now(), editable=False)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty if the provider's events added it.",
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    lift_reason = models.CharField(max_length=300, blank=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = "suppressed address"
        verbose_name_plural = "suppressed addresses"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["address", "scope"],
                condition=Q(lifted_at=None),
                name="notifications_suppression_one_in_force",
            )
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.get_scope_display()}"

    @property
    def reason(self) -> str:
        """Why no email is sent there, for staff."""
        return " - ".join(part for part in (self.get_cause_display(), self.detail) if part)


class EmailPreference(models.Model):
    """What one person switched on or off. Without a row the default applies (preferences/rules.py)."""

    class Origin(models.TextChoices):
        PAGE = "page", "the preferences page"
        ONE_CLICK = "one_click", "the unsubscribe button of an email app"
        PROVIDER = "provider", "the email provider"
        INVITATION = "invitation", "an invitation that was accepted"
        GUARDIAN = "guardian", "the first guardian of the family"
        STAFF = "staff", "staff"

    COPIES = "copies"
    """The choice that is not a kind of email: copies of the lead guardian's emails."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="email_preferences"
    )
    choice = models.CharField(
        max_length=40, help_text="A kind of email, or 'copies' for copies of the family's emails."
    )
    is_on = models.BooleanField()
    origin = models.CharField(max_length=20, choices=Origin.choices)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["user", "choice"]
        constraints = [
            models.UniqueConstraint(fields=["user", "choice"], name="notifications_emailpreference_one")
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.choice} {'on' if self.is_on else 'off'}"
