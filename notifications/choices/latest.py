"""The emails that somebody got last, as they may see them."""

from dataclasses import dataclass
from datetime import datetime

from enrollments.models import User
from notifications.kinds import EmailKind
from notifications.models import EmailMessage, EmailStatus
from notifications.registry import EMAILS

MOST = 20
# In plain words, with the tone of the badge.
STATES = {
    EmailStatus.QUEUED: ("On its way", ""),
    EmailStatus.SENDING: ("On its way", ""),
    EmailStatus.SENT: ("Sent", ""),
    EmailStatus.DELIVERED: ("Arrived", "paid"),
    EmailStatus.BOUNCED: ("Came back", "overdue"),
    EmailStatus.DROPPED: ("Not delivered", "overdue"),
    EmailStatus.COMPLAINED: ("Marked as spam", "warn"),
    EmailStatus.UNKNOWN: ("Perhaps sent", "warn"),
    EmailStatus.FAILED: ("Not sent, we look into it", "warn"),
    EmailStatus.EXPIRED: ("Not sent, no longer needed", ""),
    EmailStatus.SUPPRESSED: ("Not sent", ""),
    EmailStatus.WITHHELD: ("Not sent, we look into it", "warn"),
}


@dataclass(frozen=True)
class Latest:
    title: str
    at: datetime
    state: str
    tone: str


def latest_emails(user: User) -> list[Latest]:
    """No texts, and of what opens an account not even the subject."""
    rows = EmailMessage.objects.filter(recipient=user, is_test=False)
    shown = rows.only("kind", "subject", "status", "created_at", "sent_at")[:MOST]
    return [
        Latest(_title(row), row.sent_at or row.created_at, *STATES[EmailStatus(row.status)]) for row in shown
    ]


def _title(row: EmailMessage) -> str:
    kind = EmailKind(row.kind)
    return str(kind.label) if EMAILS[kind].is_sensitive or not row.subject else row.subject
