import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from csf.clock import Now
from enrollments.models.people import Household

LIFE = timedelta(days=14)


class GuardianInvitationQuerySet(models.QuerySet["GuardianInvitation"]):
    def open(self) -> Self:
        """Neither accepted nor withdrawn nor too old, on the database's clock, and from someone who still
        belongs to the family: a guardian without access cannot invite anyone."""
        waiting = self.filter(accepted_at=None, withdrawn_at=None, created_at__gt=Now() - LIFE)
        return waiting.filter(invited_by__is_active=True, invited_by__household=F("household"))


class GuardianInvitation(models.Model):
    """The first guardian asks another person to join the family.

    There is no account before that person accepts: a mistyped address gives no one access, and nobody who was
    invited by mistake finds their address already taken.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="invitations")
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    email = models.EmailField(help_text="In lower case.")
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="invitation",
        help_text="The guardian who accepted it.",
    )

    objects = GuardianInvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(accepted_at=None, user=None)
                | Q(accepted_at__isnull=False, user__isnull=False, withdrawn_at=None),
                name="enrollments_invitation_accepted_by_somebody",
            )
        ]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() + f" to the {self.household}"

    @property
    def ends_at(self) -> datetime:
        return self.created_at + LIFE

    def is_open(self, now: datetime) -> bool:
        """As the query `open`."""
        belongs = self.invited_by.is_active and self.invited_by.household_id == self.household_id
        return belongs and self.accepted_at is None and self.withdrawn_at is None and self.ends_at > now

    def withdraw(self) -> None:
        """Without effect once it was accepted."""
        GuardianInvitation.objects.filter(pk=self.pk).open().update(withdrawn_at=Now())
