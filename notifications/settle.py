"""What became of posts, written in bulk; and repair of what a lost drain left behind."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from csf.models import StaffTask
from notifications.kinds import EmailKind
from notifications.models import BACKOFF, MAX_CLAIMS, EmailAttempt, EmailMessage, EmailStatus
from notifications.registry import EMAILS
from notifications.transport import Outcome, Result

Settled = tuple[EmailAttempt, Result]

# Only rows that are still `sending` move: an event of the provider may have settled one before its answer.
SETTLE_MESSAGES = """
UPDATE notifications_emailmessage AS message
SET status = settled.status, error = settled.error, tries = settled.tries, claims = 0, leased_until = NULL,
    next_attempt_at = now() + make_interval(secs => settled.wait_s),
    posting_at = CASE WHEN settled.status = 'queued' THEN NULL ELSE message.posting_at END,
    sent_at = CASE WHEN settled.status = 'sent' THEN now() END
FROM unnest(%s::bigint[], %s::text[], %s::float8[], %s::text[], %s::smallint[])
     AS settled(id, status, wait_s, error, tries)
WHERE message.id = settled.id AND message.status = 'sending'
"""
SETTLE_ATTEMPTS = """
UPDATE notifications_emailattempt AS attempt
SET outcome = settled.outcome, http_status = settled.http_status, provider_message_id = settled.provider_id,
    duration_ms = settled.duration_ms, error = settled.error
FROM unnest(%s::bigint[], %s::text[], %s::smallint[], %s::text[], %s::integer[], %s::text[])
     AS settled(id, outcome, http_status, provider_id, duration_ms, error)
WHERE attempt.id = settled.id
"""
ATTEMPT_OUTCOME = {
    Outcome.SENT: EmailAttempt.Outcome.SENT,
    Outcome.NOT_SENT: EmailAttempt.Outcome.NOT_SENT,
    Outcome.HELD_BACK: EmailAttempt.Outcome.NOT_SENT,
    Outcome.REFUSED: EmailAttempt.Outcome.REFUSED,
    Outcome.UNKNOWN: EmailAttempt.Outcome.UNKNOWN,
}


def settle(results: list[Settled]) -> None:
    """Write the outcome of each post to its attempt and its message, in two statements."""
    if not results:
        return
    verdicts = [_verdict(attempt.message, result) for attempt, result in results]
    messages: list[Any] = [
        [attempt.message_id for attempt, _ in results],
        [status.value for status, _, _ in verdicts],
        [wait_s for _, wait_s, _ in verdicts],
        [result.error for _, result in results],
        [tries for _, _, tries in verdicts],
    ]
    attempts: list[Any] = [
        [attempt.pk for attempt, _ in results],
        [ATTEMPT_OUTCOME[result.outcome].value for _, result in results],
        [result.http_status for _, result in results],
        [result.provider_id for _, result in results],
        [result.duration_ms for _, result in results],
        [result.error for _, result in results],
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SETTLE_MESSAGES, messages)
        cursor.execute(SETTLE_ATTEMPTS, attempts)
        for (attempt, result), (status, _, _) in zip(results, verdicts, strict=True):
            if status == EmailStatus.FAILED:
                StaffTask.open(StaffTask.Kind.EMAIL_FAILED, attempt.message, result.error)


def _verdict(message: EmailMessage, result: Result) -> tuple[EmailStatus, float, int]:
    """Status, seconds until the next try, tries counted."""
    match result.outcome:
        case Outcome.SENT:
            return EmailStatus.SENT, 0, message.tries
        case Outcome.UNKNOWN:
            return EmailStatus.UNKNOWN, 0, message.tries
        case Outcome.HELD_BACK:
            return EmailStatus.QUEUED, result.retry_after_s, message.tries - 1
        case Outcome.NOT_SENT if message.tries <= len(BACKOFF):
            return EmailStatus.QUEUED, BACKOFF[message.tries - 1].total_seconds(), message.tries
        case _:
            return EmailStatus.FAILED, 0, message.tries


def recover_lost() -> None:
    """Take back what a killed drain had claimed: not posted goes to the queue, posted becomes unknown."""
    lost = EmailMessage.objects.filter(status=EmailStatus.SENDING, leased_until__lt=Now())
    with transaction.atomic():
        lost.filter(posting_at__isnull=False).update(
            status=EmailStatus.UNKNOWN, leased_until=None, claims=0, error="the sender was lost"
        )
        for poison in lost.filter(claims__gte=MAX_CLAIMS):
            fail(poison, "it ended its sender five times")
        lost.filter(posting_at=None, claims__lt=MAX_CLAIMS).update(
            status=EmailStatus.QUEUED, leased_until=None
        )
        EmailAttempt.objects.filter(
            outcome=EmailAttempt.Outcome.OPEN, message__status=EmailStatus.UNKNOWN
        ).update(outcome=EmailAttempt.Outcome.UNKNOWN, error="the sender was lost")


def resolve_unknown() -> None:
    """Decide about emails whose post had no answer, EMAIL_UNKNOWN_WAIT_S after it.

    Where a copy is harmless one more is sent, once; otherwise a person decides.
    """
    waited = timezone.now() - timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
    unknown = EmailMessage.objects.filter(status=EmailStatus.UNKNOWN, posting_at__lt=waited)
    with transaction.atomic():
        for message in unknown.select_for_update(skip_locked=True)[:500]:
            unknowns = message.attempts.filter(outcome=EmailAttempt.Outcome.UNKNOWN).count()
            if EMAILS[EmailKind(message.kind)].is_copy_harmless and unknowns < 2:
                to = EmailStatus.QUEUED
            else:
                to = EmailStatus.WITHHELD
                StaffTask.open(StaffTask.Kind.EMAIL_UNKNOWN, message, message.error)
            EmailMessage.objects.filter(pk=message.pk, status=EmailStatus.UNKNOWN).update(
                status=to, next_attempt_at=Now(), posting_at=None
            )


def fail(message: EmailMessage, error: str) -> None:
    """Give one email up for good and tell staff."""
    with transaction.atomic():
        EmailMessage.objects.filter(pk=message.pk).update(
            status=EmailStatus.FAILED, error=error, leased_until=None
        )
        StaffTask.open(StaffTask.Kind.EMAIL_FAILED, message, error)
