"""The outbox: queued emails, the posts that were made of them, and what staff did with them."""

import json
import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models
from django.db.models import F, Q
from django.db.models.functions import Lower

from csf.clock import Now
from csf.encryption import EncryptedTextField
from csf.models import StaffTask
from csf.state import colours, edges, move_rows
from enrollments.models import User
from notifications.kinds import choices, title_of
from notifications.task_kinds import EmailTask

LEASE = timedelta(seconds=120)
BACKOFF = [timedelta(seconds=60), timedelta(seconds=120), timedelta(seconds=240)]
MAX_CLAIMS = 5


@colours(success="sent delivered", info="queued sending", warning="unknown", danger="bounced failed")
class EmailStatus(models.TextChoices):
    QUEUED = "queued", "queued"
    SENDING = "sending", "sending"
    SENT = "sent", "accepted by the provider"
    DELIVERED = "delivered", "delivered"
    BOUNCED = "bounced", "bounced"
    DROPPED = "dropped", "dropped by the provider"
    COMPLAINED = "complained", "marked as spam"
    UNKNOWN = "unknown", "may or may not have been sent"
    FAILED = "failed", "failed"
    EXPIRED = "expired", "no longer worth sending"
    SUPPRESSED = "suppressed", "unsubscribed, or the address is suppressed"
    WITHHELD = "withheld", "withheld"


# The provider had it or nobody will send it: only its events may still change it.
FINAL = {
    EmailStatus.SENT,
    EmailStatus.DELIVERED,
    EmailStatus.BOUNCED,
    EmailStatus.DROPPED,
    EmailStatus.COMPLAINED,
    EmailStatus.FAILED,
    EmailStatus.EXPIRED,
    EmailStatus.SUPPRESSED,
    EmailStatus.WITHHELD,
}
UNFINISHED = {EmailStatus.QUEUED, EmailStatus.SENDING}

# What the provider reports about a post; a late report also settles a row that was queued again or withheld
# since.
_REPORTED: set[str] = {
    EmailStatus.SENT,
    EmailStatus.DELIVERED,
    EmailStatus.DROPPED,
    EmailStatus.BOUNCED,
    EmailStatus.COMPLAINED,
}
EMAIL_EDGES = edges(
    {
        EmailStatus.QUEUED: {
            EmailStatus.SENDING,
            EmailStatus.EXPIRED,
            EmailStatus.WITHHELD,
            *_REPORTED,
        },
        EmailStatus.SENDING: {
            EmailStatus.QUEUED,
            EmailStatus.UNKNOWN,
            EmailStatus.FAILED,
            EmailStatus.EXPIRED,
            EmailStatus.SUPPRESSED,
            EmailStatus.WITHHELD,
            *_REPORTED,
        },
        EmailStatus.UNKNOWN: {
            EmailStatus.QUEUED,
            EmailStatus.EXPIRED,
            EmailStatus.WITHHELD,
            *_REPORTED,
        },
        EmailStatus.WITHHELD: {EmailStatus.QUEUED, *_REPORTED},
        EmailStatus.SUPPRESSED: {EmailStatus.QUEUED, *_REPORTED},
        EmailStatus.SENT: _REPORTED - {EmailStatus.SENT},
        EmailStatus.DELIVERED: {EmailStatus.DROPPED, EmailStatus.BOUNCED, EmailStatus.COMPLAINED},
        EmailStatus.DROPPED: {EmailStatus.COMPLAINED},
        EmailStatus.BOUNCED: {EmailStatus.COMPLAINED},
        EmailStatus.FAILED: set(),
        EmailStatus.EXPIRED: set(),
    }
)


class EmailMessageQuerySet(models.QuerySet["EmailMessage"]):
    def add_plain(self, rows: "list[EmailMessage]") -> None:
        """Insert those whose keys are new, due at once. As one JSON text for all, because `bulk_create`
        needs four times the CPU; it seals no secret."""
        options = EmailMessage._meta
        fields = [
            field for field in options.concrete_fields if not field.primary_key and not field.has_db_default()
        ]
        values = [{field.column: getattr(row, field.attname) for field in fields} for row in rows]
        columns = ", ".join(f'"{field.column}"' for field in fields)
        with connections[self.db].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {options.db_table} ({columns}) SELECT {columns} "  # noqa: S608 - names of columns
                f"FROM jsonb_populate_recordset(NULL::{options.db_table}, %s) ON CONFLICT DO NOTHING",
                [json.dumps(values, cls=DjangoJSONEncoder)],
            )

    def due(self) -> Self:
        """Queued and due by the database's clock, the most urgent first."""
        return self.filter(status=EmailStatus.QUEUED, next_attempt_at__lte=Now()).order_by(
            "priority", "next_attempt_at", "pk"
        )

    def claim(self, limit: int) -> "list[EmailMessage]":
        """Take due rows for LEASE, each for one sender only. Runs in a transaction that commits before any
        post; the fence knows the claim again by its `leased_until`.

        A row that came back unposted before is taken alone: if it kills its worker, it uses up only its own
        tries.
        """
        due = self.due().select_related("recipient").annotate(lease=Now() + LEASE)
        rows = list(due.select_for_update(skip_locked=True, of=("self",))[:limit])
        if rows and rows[0].claims:
            rows = rows[:1]
        rows = [row for row in rows if not row.claims] or rows
        for row in rows:
            row.leased_until = row.lease  # type: ignore[attr-defined]
        if rows:
            move_rows(
                self.filter(pk__in=[row.pk for row in rows]),
                EmailStatus.SENDING,
                claims=F("claims") + 1,
                leased_until=rows[0].leased_until,
                posting_at=None,
            )
        return rows


class EmailMessage(models.Model):
    """The outbox: one email to one person, written in the transaction of its fact.

    `context` is a snapshot of the fact in JSON values. It is rendered when the row is claimed, and the texts
    that were sent stay here.
    """

    EDGES = EMAIL_EDGES

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=40, choices=choices)
    recipient = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="emails",
        help_text="Empty when the address has no account.",
    )
    to = models.EmailField()
    fact_id = models.BigIntegerField(help_text="Primary key of the row the email is about.")
    dedupe_key = models.CharField(max_length=200, unique=True)
    context = models.JSONField()
    secret = EncryptedTextField(
        blank=True, help_text="The context of a sensitive kind, as JSON; cleared once the email is finished."
    )
    status = models.CharField(max_length=20, choices=EmailStatus.choices, default=EmailStatus.QUEUED)
    priority = models.PositiveSmallIntegerField(default=5)
    next_attempt_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    posting_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Set just before the post: a worker lost after that leaves the email 'unknown'.",
    )
    claims = models.PositiveSmallIntegerField(default=0, help_text="Consecutive claims without a post.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Posts actually made.")
    resend_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="resends",
        help_text="The email that staff sent again as this one.",
    )
    sent_as = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="parts",
        help_text="The email that also says this, so that this one is not sent.",
    )
    is_without_files = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The provider refused its attachments, so it is sent without them.",
    )
    is_test = models.BooleanField(
        default=False, help_text="Sent by staff to themselves; not about a real event."
    )
    subject = models.CharField(max_length=200, blank=True)
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(
        null=True, blank=True, help_text="When the recipient's server accepted it, according to the provider."
    )

    objects = EmailMessageQuerySet.as_manager()

    class Meta:
        verbose_name = "email"
        verbose_name_plural = "emails"
        ordering = ["-pk"]
        permissions = [
            ("read_emailmessage", "Can read what emails say"),
            ("download_emailmessage", "Can download an email as it was sent"),
            ("resend_emailmessage", "Can send an email again"),
            ("withhold_emailmessage", "Can withhold an email that is queued"),
            ("requeue_emailmessage", "Can release an email that is withheld"),
            ("mark_sent_emailmessage", "Can mark a withheld email as sent"),
            ("test_emailmessage", "Can send test emails to themselves"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=EmailStatus.values), name="notifications_emailmessage_status"
            ),
        ]
        indexes = [
            models.Index(
                # With the key: the emails of one commit are due at the same moment, and each claim would sort
                # all that are left of them.
                fields=["priority", "next_attempt_at", "id"],
                condition=Q(status="queued"),
                name="notifications_email_due",
            ),
            models.Index(
                fields=["leased_until"], condition=Q(status="sending"), name="notifications_email_sending"
            ),
            models.Index(
                fields=["posting_at"], condition=Q(status="unknown"), name="notifications_email_unknown"
            ),
            models.Index(fields=["expires_at"], condition=~Q(secret=""), name="notifications_email_secret"),
            BrinIndex(fields=["created_at"], name="notifications_email_written"),  # for the figures
            models.Index(Lower("to"), name="notifications_email_address"),  # for events without our ids
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.to}"

    @property
    def facts(self) -> dict[str, Any]:
        """The content of the email. Raises Unreadable for a sensitive kind whose key is lost."""
        secret = self.secret
        facts: dict[str, Any] = json.loads(secret) if secret else self.context
        return facts | {"calendars": []} if self.is_without_files else facts

    @classmethod
    def report_failed(cls, kind: str, error: str) -> None:
        """One open task for each kind, however many of its emails fail: a broken template would open
        thousands."""
        filters = {"kind__exact": kind, "status__exact": EmailStatus.FAILED.value}
        detail = f"{title_of(kind)}: {error}"
        StaffTask.open_for_many(EmailTask.EMAIL_FAILED, cls, filters, detail)

    @classmethod
    def report_withheld(cls) -> None:
        """One open task, however many they are: the list is where a person decides about them."""
        filters = {"status__exact": EmailStatus.WITHHELD.value}
        detail = "Another installation may have sent them. Release the ones that the families did not get."
        StaffTask.open_for_many(EmailTask.EMAILS_WITHHELD, cls, filters, detail)

    @classmethod
    def report_file_refused(cls, kind: str, error: str) -> None:
        """One open task a kind: its emails reach the families, but without their calendar file."""
        filters = {"kind__exact": kind, "is_without_files__exact": "1"}
        detail = f"{title_of(kind)}: {error}"
        StaffTask.open_for_many(EmailTask.EMAIL_WITHOUT_FILE, cls, filters, detail)


class EmailAttempt(models.Model):
    """One post to the provider, committed before it is made."""

    @colours(success="sent", warning="not_sent unknown", danger="refused")
    class Outcome(models.TextChoices):
        OPEN = "open", "no answer yet"
        SENT = "sent", "accepted"
        NOT_SENT = "not_sent", "not sent"
        REFUSED = "refused", "refused for good"
        UNKNOWN = "unknown", "unknown"

    class Route(models.TextChoices):
        MAIN = "main", "SendGrid"
        FAILOVER = "failover", "the second provider"

    message = models.ForeignKey(EmailMessage, on_delete=models.CASCADE, related_name="attempts")
    posted_at = models.DateTimeField(db_default=Now(), editable=False)
    route = models.CharField(max_length=10, choices=Route.choices, default=Route.MAIN)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, default=Outcome.OPEN)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    provider_message_id = models.CharField(max_length=100, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [BrinIndex(fields=["posted_at"], name="notifications_attempt_posted")]  # for the alerts

    def __str__(self) -> str:
        return f"{self.message}, {self.outcome}"


class EmailAct(models.Model):
    """What a member of staff did with an email, and why."""

    IS_APPEND_ONLY = True

    class Act(models.TextChoices):
        RESENT = "resent", "sent again"
        WITHHELD = "withheld", "withheld"
        REQUEUED = "requeued", "released to be sent"
        MARKED_SENT = "marked_sent", "marked as sent"
        SENT_TEST = "sent_test", "sent as a test"
        DOWNLOADED = "downloaded", "downloaded"
        READ = "read", "read"

    message = models.ForeignKey(EmailMessage, on_delete=models.PROTECT, related_name="acts")
    act = models.CharField(max_length=20, choices=Act.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_act_display()} by {self.by}"
