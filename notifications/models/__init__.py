from notifications.models.events import EmailEvent
from notifications.models.messages import FamilyMessage, FamilyMessageLine
from notifications.models.outbox import (
    BACKOFF,
    FINAL,
    LEASE,
    MAX_CLAIMS,
    UNFINISHED,
    EmailAct,
    EmailAttempt,
    EmailMessage,
    EmailStatus,
)
from notifications.models.people import EmailPreference, Suppression
from notifications.models.sender import Alert, DrainSignal

__all__ = [
    "BACKOFF",
    "FINAL",
    "LEASE",
    "MAX_CLAIMS",
    "UNFINISHED",
    "Alert",
    "DrainSignal",
    "EmailAct",
    "EmailAttempt",
    "EmailEvent",
    "EmailMessage",
    "EmailPreference",
    "EmailStatus",
    "FamilyMessage",
    "FamilyMessageLine",
    "Suppression",
]
