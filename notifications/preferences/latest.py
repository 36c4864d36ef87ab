"""The latest emails to someone, as they may see them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from enrollments.models import User
from notifications.kinds import title_of
from notifications.models import EmailMessage, EmailStatus
from notifications.registry import EMAILS

MOST = 20
# In plain words, with the color of the badge. Emails that were not sent would only confuse: "Payment failed"
# to someone who has paid.
STATES = {
    EmailStatus.QUEUED: ("On its way", ""),
    EmailStatus.SENDING: ("On its way", ""),
    EmailStatus.SENT: ("Sent", ""),
    EmailStatus.DELIVERED: ("Arrived", "paid"),
    EmailStatus.BOUNCED: ("Returned", "overdue"),
    EmailStatus.DROPPED: ("Not delivered", "overdue"),
    EmailStatus.COMPLAINED: ("Marked as spam", "warn"),
    EmailStatus.UNKNOWN: ("May have been sent", "warn"),
}


@dataclass(frozen=True)
class Latest:
    title: str
    at: datetime
    state: str
    tone: str
    public_id: UUID | None
    """Of one that can be opened."""


def emails_sent_to(user: User) -> QuerySet[EmailMessage]:
    return EmailMessage.objects.filter(recipient=user, is_test=False, status__in=STATES)


def latest_emails(user: User) -> list[Latest]:
    """No texts, and for emails that open an account not even the subject."""
    rows = emails_sent_to(user).annotate(has_text=~Q(text=""))
    shown = rows.only("kind", "subject", "status", "created_at", "sent_at", "public_id")[:MOST]
    return [
        Latest(
            heading_of(row),
            row.sent_at or row.created_at,
            *STATES[EmailStatus(row.status)],
            row.public_id if row.has_text and not _is_sensitive(row) else None,
        )
        for row in shown
    ]


def readable_email(user: User, public_id: UUID) -> EmailMessage | None:
    """One of theirs whose text is kept."""
    row = emails_sent_to(user).exclude(text="").filter(public_id=public_id).first()
    return None if row is None or _is_sensitive(row) else row


def heading_of(row: EmailMessage) -> str:
    return title_of(row.kind) if _is_sensitive(row) or not row.subject else row.subject


def _is_sensitive(row: EmailMessage) -> bool:
    return EMAILS[row.kind].is_sensitive
