"""What SendGrid reports about emails after accepting them."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from csf.clock import Now


class EmailEvent(models.Model):
    """One event as SendGrid posted it. `key` is made from its content, because copies have different ids."""

    key = models.CharField(max_length=64, unique=True)
    outbox_id = models.UUIDField(
        null=True, db_index=True, help_text="The email's public id; empty if not ours."
    )
    name = models.CharField(max_length=40)
    address = models.EmailField(
        blank=True, db_default="", help_text="Kept only if the event does not name one of our emails."
    )
    bounce_type = models.CharField(max_length=40, blank=True)
    bounce_class = models.CharField(
        max_length=40, blank=True, db_default="", help_text="SendGrid's classification of a bounce."
    )
    detail = models.CharField(max_length=1000, blank=True)
    provider_event_id = models.CharField(max_length=100, blank=True)
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    folded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["id"], condition=Q(folded_at=None), name="notifications_event_unfolded"),
            BrinIndex(fields=["received_at"], name="notifications_event_received"),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.happened_at:%Y-%m-%d %H:%M:%S}"
