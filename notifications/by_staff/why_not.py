"""Why an email was not sent, or not yet, in words for staff."""

from dataclasses import dataclass
from typing import Self

from csf import clock
from csf.models import Instance
from csf.templatetags.csf_format import moment
from notifications.models import DrainSignal, EmailMessage, EmailStatus

SHORT_LENGTH = 120


@dataclass(frozen=True)
class Gate:
    """Whether anything is sent now."""

    why_closed: str = ""

    @classmethod
    def now(cls) -> Self:
        if why := Instance.why_quarantined():
            return cls(f"nothing leaves this installation: {why}")
        signal = DrainSignal.objects.filter(pk=1).first()
        if signal and signal.closed_until and signal.closed_until > clock.now():
            return cls(f"the provider is not accepting email: next try at {moment(signal.closed_until)}")
        return cls()


def why_not(email: EmailMessage, gate: Gate) -> str:
    """Empty if the provider accepted it."""
    error = email.error
    match email.status:
        case EmailStatus.QUEUED:
            return gate.why_closed or _waits(email)
        case EmailStatus.SENDING:
            return "it is being sent"
        case EmailStatus.UNKNOWN:
            return f"the provider gave no answer: it may have been sent{_because(error)}"
        case EmailStatus.WITHHELD if not error.startswith("withheld"):
            return f"it may have been sent, and a person has to decide{_because(error)}"
        case EmailStatus.EXPIRED if not error:
            return "it was too late, or its content was no longer true"
        case EmailStatus.EXPIRED | EmailStatus.WITHHELD | EmailStatus.FAILED | EmailStatus.SUPPRESSED:
            return error
    return ""


def in_short(text: str) -> str:
    return text if len(text) <= SHORT_LENGTH else text[: SHORT_LENGTH - 1].rstrip() + "…"


def _waits(email: EmailMessage) -> str:
    if email.next_attempt_at > clock.now():
        return f"it waits until {moment(email.next_attempt_at)}{_because(email.error)}"
    return "it will be sent within a minute"


def _because(error: str) -> str:
    return f" ({error})" if error else ""
