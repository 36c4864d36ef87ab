"""Operational tables: what a person must decide."""

from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class StaffTaskQuerySet(models.QuerySet["StaffTask"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def close(self, *, by: AbstractBaseUser) -> int:
        """Close those that are still open and return how many; who closed one first stays named."""
        return self.open().update(closed_at=Now(), closed_by=by)


class StaffTask(models.Model):
    """Something that only a person can decide. Opened by the system, closed by staff."""

    class Kind(models.TextChoices):
        UNMATCHED_PAYMENT = "unmatched_payment", "Money that fits no open installment"
        EVENT_PARKED = "event_parked", "A Stripe event that could not be handled"
        EMAIL_FAILED = "email_failed", "An email that could not be sent"
        EMAIL_BOUNCED = "email_bounced", "An address that takes no mail"
        EMAIL_UNKNOWN = "email_unknown", "An email that may or may not have been sent"
        CHARGE_UNKNOWN = "charge_unknown", "A charge whose outcome Stripe does not tell"
        CARD_REFUSED = "card_refused", "A card that the bank refused for good"
        DECLINE_TO_LOOK_AT = "decline_to_look_at", "A decline that a person should look at"
        INSTALLMENT_LATE = "installment_late", "An installment too late to be charged by itself"
        INSTALLMENT_EXHAUSTED = "installment_exhausted", "An installment whose last try failed"
        CHARGE_REJECTED = "charge_rejected", "Stripe refused our request"

    kind = models.CharField(max_length=40, choices=Kind.choices)
    subject = models.CharField(max_length=100, help_text="The row this is about, as app.model:id.")
    detail = models.TextField(blank=True)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = StaffTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="csf_stafftask_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.Kind(self.kind).label}: {self.subject}"

    @classmethod
    def open(cls, kind: "StaffTask.Kind", about: models.Model, detail: str = "") -> None:
        """Ask staff to decide about a row. A second call while the first is open changes nothing."""
        task = StaffTask(kind=kind, subject=f"{about._meta.label_lower}:{about.pk}", detail=detail)
        StaffTask.objects.bulk_create([task], ignore_conflicts=True)


class Canary(models.Model):
    """One row, stamped each minute by a scheduled task: proof that scheduler, queue and workers all move."""

    sang_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"sang at {self.sang_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def sing(cls) -> None:
        cls.objects.update_or_create(pk=1, defaults={"sang_at": Now()})
