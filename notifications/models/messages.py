"""What staff write to many families at once."""

import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from csf.clock import Now
from csf.state import Stale
from enrollments.models import Household, User

WRITTEN_BY_STAFF = {"class_message": "Message from the office", "newsletter": "Newsletter"}
MAX_SUBJECT = 150
MAX_BODY = 10_000
MAX_BODY_LINES = 200  # an email longer than 102 KB is cut off by Gmail, and each paragraph brings its style


class Seats(models.TextChoices):
    """Whose families a message is for. Places that are held, released or cancelled are never included."""

    ACTIVE = "active", "enrolled"
    WAITING = "waiting", "on the waitlist, or a seat is offered"
    ENDED = "ended", "was enrolled, and the class is over"


class FamilyMessageQuerySet(models.QuerySet["FamilyMessage"]):
    def drafts(self) -> Self:
        return self.filter(confirmed_at=None)


class FamilyMessage(models.Model):
    """A draft until it is confirmed; then it has a line for each family, and never changes again.

    `audience` holds "seats" (of Seats), and the ids of "courses" and of a "program", or of the "enrollments"
    that were picked one by one; without any of these it is for every class.
    """

    public_id = models.UUIDField(
        default=uuid.uuid4, unique=True, help_text="From the form: pressed twice, it is still one message."
    )
    kind = models.CharField(max_length=40, choices=list(WRITTEN_BY_STAFF.items()))
    subject = models.CharField(max_length=MAX_SUBJECT)
    body = models.TextField(help_text="Plain text.")
    audience = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = FamilyMessageQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "message to families"
        verbose_name_plural = "messages to families"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=list(WRITTEN_BY_STAFF)),
                name="notifications_familymessage_kind",
            )
        ]

    def __str__(self) -> str:
        return self.subject or "a message without a subject"

    def change(self, **values: Any) -> None:
        """Write the draft again. Raises Stale once it is confirmed."""
        if not FamilyMessage.objects.drafts().filter(pk=self.pk).update(**values):
            raise Stale("this message was sent")

    def confirm(self, *, by: User) -> None:
        """Raises Stale unless it is a draft."""
        self.change(confirmed_at=Now(), by=by)


class FamilyMessageLine(models.Model):
    """One family of a confirmed message. Its emails refer to it; if there are none it says why."""

    IS_APPEND_ONLY = True

    message = models.ForeignKey(FamilyMessage, on_delete=models.PROTECT, related_name="lines")
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="+")
    skipped = models.CharField(max_length=500, blank=True, help_text="Who does not get it by email, and why.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    people: list[User]  # who gets it, known while it is written
    classes: list[str]  # because of which

    class Meta:
        ordering = ["pk"]
        verbose_name = "family of a message"
        verbose_name_plural = "families of messages"
        constraints = [
            models.UniqueConstraint(
                fields=["message", "household"], name="notifications_familymessageline_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.message} to the {self.household}"
