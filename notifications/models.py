import json
import uuid
from datetime import timedelta
from typing import Any, Self

from django.contrib.postgres.indexes import BrinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Greatest, Now

from csf.encryption import EncryptedTextField
from csf.models import StaffTask
from enrollments.models import User
from notifications.kinds import EmailKind

LEASE = timedelta(seconds=120)
BACKOFF = [timedelta(seconds=60), timedelta(seconds=120), timedelta(seconds=240)]
MAX_CLAIMS = 5


class EmailStatus(models.TextChoices):
    QUEUED = "queued", "queued"
    SENDING = "sending", "sending"
    SENT = "sent", "accepted by the provider"
    DELIVERED = "delivered", "delivered"
    BOUNCED = "bounced", "bounced"
    DROPPED = "dropped", "dropped by the provider"
    COMPLAINED = "complained", "called spam"
    UNKNOWN = "unknown", "may or may not have been sent"
    FAILED = "failed", "failed"
    EXPIRED = "expired", "no longer worth sending"
    WITHHELD = "withheld", "withheld"


# The provider had it or nobody will send it: only its events may still move it.
FINAL = {
    EmailStatus.SENT,
    EmailStatus.DELIVERED,
    EmailStatus.BOUNCED,
    EmailStatus.DROPPED,
    EmailStatus.COMPLAINED,
    EmailStatus.FAILED,
    EmailStatus.EXPIRED,
    EmailStatus.WITHHELD,
}
UNFINISHED = {EmailStatus.QUEUED, EmailStatus.SENDING}


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
        """Queued and due on the database's clock, the most urgent first."""
        return self.filter(status=EmailStatus.QUEUED, next_attempt_at__lte=Now()).order_by(
            "priority", "next_attempt_at", "pk"
        )

    def claim(self, limit: int) -> "list[EmailMessage]":
        """Take due rows for LEASE, each for one sender only. Runs in a transaction that commits before any
        post; the fence knows the claim again by its `leased_until`.

        A row that came back unposted before is taken alone: if it kills its worker, it spends only its own
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
            self.filter(pk__in=[row.pk for row in rows]).update(
                status=EmailStatus.SENDING,
                claims=F("claims") + 1,
                leased_until=rows[0].leased_until,
                posting_at=None,
            )
        return rows


class EmailMessage(models.Model):
    """The outbox: one email owed to one person, written in the transaction of the fact it tells.

    `context` is a snapshot of the fact in JSON values. It is rendered when the row is claimed, and the texts
    that were sent stay here.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=40, choices=EmailKind.choices)
    recipient = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="emails",
        help_text="Empty when the address has no account.",
    )
    to = models.EmailField()
    fact_id = models.BigIntegerField(help_text="Primary key of the row that the email tells of.")
    dedupe_key = models.CharField(max_length=200, unique=True)
    context = models.JSONField()
    secret = EncryptedTextField(
        blank=True, help_text="The context of a sensitive kind, as JSON; blanked when the email is finished."
    )
    status = models.CharField(max_length=20, choices=EmailStatus.choices, default=EmailStatus.QUEUED)
    priority = models.PositiveSmallIntegerField(default=5)
    next_attempt_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    posting_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Stamped just before the post; with it, a lost worker leaves 'unknown'.",
    )
    claims = models.PositiveSmallIntegerField(default=0, help_text="Claims in a row without a post.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Posts really made.")
    subject = models.CharField(max_length=200, blank=True)
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = EmailMessageQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=EmailKind.values), name="notifications_emailmessage_kind"
            ),
            models.CheckConstraint(
                condition=Q(status__in=EmailStatus.values), name="notifications_emailmessage_status"
            ),
        ]
        indexes = [
            models.Index(
                fields=["priority", "next_attempt_at"],
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
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the email tells. Raises Unreadable for a sensitive kind whose key is lost."""
        secret = self.secret
        facts: dict[str, Any] = json.loads(secret) if secret else self.context
        return facts

    @classmethod
    def tell_failed(cls, kind: str, error: str) -> None:
        """One open task a kind, however many of its emails fail: a broken template would open thousands."""
        filters = {"kind__exact": kind, "status__exact": EmailStatus.FAILED.value}
        detail = f"{EmailKind(kind).label}: {error}"
        StaffTask.open_for_many(StaffTask.Kind.EMAIL_FAILED, cls, filters, detail)


class EmailAttempt(models.Model):
    """One post to the provider, committed before it is made."""

    class Outcome(models.TextChoices):
        OPEN = "open", "no answer yet"
        SENT = "sent", "accepted"
        NOT_SENT = "not_sent", "not sent"
        REFUSED = "refused", "refused for good"
        UNKNOWN = "unknown", "not known"

    message = models.ForeignKey(EmailMessage, on_delete=models.CASCADE, related_name="attempts")
    posted_at = models.DateTimeField(db_default=Now(), editable=False)
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


class EmailEvent(models.Model):
    """One event as SendGrid posted it. `key` is made of what it says, for copies have ids of their own."""

    key = models.CharField(max_length=64, unique=True)
    outbox_id = models.UUIDField(
        null=True, db_index=True, help_text="The email's public id; empty if not ours."
    )
    name = models.CharField(max_length=40)
    bounce_type = models.CharField(max_length=40, blank=True)
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


class DrainSignal(models.Model):
    """One row that all drains share.

    `is_pending`: whether a drain task is already on its way, so that a thousand emails wake one worker, not a
    thousand. The rest is the gate: nothing is posted before `closed_until`, and while the provider answers
    nothing (DOWN_AFTER posts in a row) one probe a minute is posted and no email loses a try.
    """

    DOWN_AFTER = 10
    PROBE_EVERY_S = 60

    is_pending = models.BooleanField(default=False)
    closed_until = models.DateTimeField(null=True, blank=True)
    unanswered = models.PositiveIntegerField(
        default=0, help_text="Posts in a row that the provider neither took nor refused for good."
    )

    def __str__(self) -> str:
        return "pending" if self.is_pending else "quiet"

    @classmethod
    def raise_(cls) -> bool:
        """True for the one caller who has to queue the drain."""
        return bool(cls.objects.filter(pk=1, is_pending=False).update(is_pending=True))

    @classmethod
    def clear(cls) -> bool:
        """True if it was raised."""
        return bool(cls.objects.filter(pk=1, is_pending=True).update(is_pending=False))

    @classmethod
    def gate(cls) -> tuple[float, bool]:
        """Seconds for which nothing may be posted, and whether only a probe may be."""
        wait = ExpressionWrapper(F("closed_until") - Now(), models.DurationField())
        closed_for, unanswered = cls.objects.filter(pk=1).values_list(wait, "unanswered").first() or (None, 0)
        return (closed_for.total_seconds() if closed_for else 0.0), unanswered >= cls.DOWN_AFTER

    @classmethod
    def answered(cls) -> None:
        cls.objects.filter(pk=1, unanswered__gt=0).update(unanswered=0)

    @classmethod
    def not_answered(cls, posts: int) -> bool:
        """Count them; True, and the gate closes, if the provider now counts as down."""
        cls.objects.filter(pk=1).update(unanswered=F("unanswered") + posts)
        is_down = cls.objects.filter(pk=1, unanswered__gte=cls.DOWN_AFTER).exists()
        if is_down:
            cls.close_for(cls.PROBE_EVERY_S)
        return is_down

    @classmethod
    def close_for(cls, seconds: float) -> None:
        until = Now() + timedelta(seconds=seconds)
        cls.objects.filter(pk=1).update(closed_until=Greatest(Coalesce("closed_until", until), until))

    @classmethod
    def tell_blocked(cls, detail: str) -> None:
        """The key is revoked or the account suspended: no email waits in vain without a person knowing."""
        StaffTask.open(StaffTask.Kind.EMAIL_SENDER_BLOCKED, cls(pk=1), detail)


class AlertQuerySet(models.QuerySet["Alert"]):
    def untold(self) -> Self:
        """What the webhook still has to hear. What ended more than TELL_FOR ago is no news."""
        is_open = Q(ended_at=None, began_told_at=None)
        return self.filter(is_open | Q(ended_at__gte=Now() - Alert.TELL_FOR, ended_told_at=None))


class Alert(models.Model):
    """Something that a person should know, from when it began until it ended. Each of both is told once."""

    TELL_FOR = timedelta(days=1)

    class Level(models.TextChoices):
        WARNING = "warning", "look at it today"
        PAGE = "page", "look at it now"

    name = models.CharField(max_length=40)
    level = models.CharField(max_length=10, choices=Level.choices)
    text = models.TextField(help_text="What was seen when it began.")
    began_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    began_told_at = models.DateTimeField(null=True, blank=True)
    ended_told_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "level"], condition=Q(ended_at=None), name="notifications_alert_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.level}: {self.text}"
