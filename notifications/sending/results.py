"""The results of posts, written in bulk; and repairing what a lost drain left behind."""

import logging
from collections import Counter
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from csf import clock
from csf.clock import Now
from csf.models import StaffTask
from csf.state import move_rows
from notifications.models import (
    BACKOFF,
    MAX_CLAIMS,
    UNFINISHED,
    DrainSignal,
    EmailAttempt,
    EmailMessage,
    EmailStatus,
)
from notifications.registry import EMAILS
from notifications.sending import failover
from notifications.sending.transport import Outcome, Result
from notifications.task_kinds import EmailTask

logger = logging.getLogger(__name__)

Settled = tuple[EmailAttempt, Result]

# Only rows that are still `sending` for this very post change: an event from the provider may have settled
# one before its answer. They are locked in the order in which `fold_events` locks them, never in a circle.
SETTLE_MESSAGES = """
WITH settled AS (
    SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::float8[], %s::text[], %s::smallint[],
                         %s::bool[])
             AS settled(id, posted, status, wait_s, error, tries, is_file_refused)
), ours AS MATERIALIZED (
    SELECT message.id FROM notifications_emailmessage AS message
    WHERE message.id IN (SELECT id FROM settled) ORDER BY message.id FOR NO KEY UPDATE
)
UPDATE notifications_emailmessage AS message
SET status = settled.status, error = settled.error, tries = settled.tries, claims = 0, leased_until = NULL,
    secret = CASE WHEN settled.status IN ('sent', 'failed') THEN '' ELSE message.secret END,
    next_attempt_at = csf_now() + make_interval(secs => settled.wait_s),
    posting_at = CASE WHEN settled.status = 'queued' THEN NULL ELSE message.posting_at END,
    is_without_files = message.is_without_files OR settled.is_file_refused,
    sent_at = CASE WHEN settled.status = 'sent' THEN csf_now() END
FROM settled JOIN ours ON ours.id = settled.id
WHERE message.id = settled.id AND message.status = 'sending' AND message.tries = settled.posted
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
    Outcome.NOT_POSTED: EmailAttempt.Outcome.NOT_SENT,
    Outcome.REFUSED: EmailAttempt.Outcome.REFUSED,
    Outcome.FILE_REFUSED: EmailAttempt.Outcome.REFUSED,
    Outcome.UNKNOWN: EmailAttempt.Outcome.UNKNOWN,
}


def settle(results: list[Settled]) -> None:
    """Write the outcome of each post to its attempt and its message, in two statements."""
    if not results:
        return
    first_route = [result for attempt, result in results if attempt.route == EmailAttempt.Route.MAIN]
    is_down = bool(first_route) and _watch_gate(first_route)
    wait_s = 0 if is_down and failover.is_on() else DrainSignal.PROBE_EVERY_S
    verdicts = [
        _verdict(attempt.message, result, is_down, wait_s)
        if attempt.route == EmailAttempt.Route.MAIN
        else _failover_verdict(attempt.message, result)
        for attempt, result in results
    ]
    messages: list[Any] = [
        [attempt.message_id for attempt, _ in results],
        [attempt.message.tries for attempt, _ in results],
        [status.value for status, _, _ in verdicts],
        [float(wait_s) for _, wait_s, _ in verdicts],  # psycopg takes no mixed lists
        [result.error for _, result in results],
        [tries for _, _, tries in verdicts],
        [result.outcome == Outcome.FILE_REFUSED for _, result in results],
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
        failed = {
            attempt.message.kind: result.error
            for (attempt, result), (status, _, _) in zip(results, verdicts, strict=True)
            if status == EmailStatus.FAILED
        }
        for kind, error in failed.items():
            EmailMessage.report_failed(kind, error)
        without_files = {
            attempt.message.kind: result.error
            for attempt, result in results
            if result.outcome == Outcome.FILE_REFUSED
        }
        for kind, error in without_files.items():
            EmailMessage.report_file_refused(kind, error)


def _watch_gate(results: list[Result]) -> bool:
    """Close the gate if the provider asks for it or does not answer. True if it counts as down: then no email
    loses a try."""
    posted = [result for result in results if result.outcome != Outcome.NOT_POSTED]
    held_back = [result for result in posted if result.outcome == Outcome.HELD_BACK]
    if held_back:
        DrainSignal.close_for(max(result.retry_after_s for result in held_back))
        logger.warning("the provider takes no mail: HTTP %s", held_back[0].http_status)
    blocked = next((result for result in held_back if result.http_status in {401, 403}), None)
    if blocked:
        DrainSignal.report_blocked(f"HTTP {blocked.http_status}: {blocked.error}")
    if any(result.outcome in {Outcome.SENT, Outcome.REFUSED, Outcome.FILE_REFUSED} for result in posted):
        DrainSignal.answered()
        return False
    is_down = bool(posted) and DrainSignal.not_answered(len(posted))
    if posted and not is_down and failover.is_on():  # there is no need to wait for ten of them
        DrainSignal.break_off()
        return True
    return is_down


def _verdict(
    message: EmailMessage, result: Result, is_down: bool, wait_s: float
) -> tuple[EmailStatus, float, int]:
    """Status, seconds until the next try, tries counted. `wait_s`: while the provider takes nothing; the gate
    is closed for as long as it must be."""
    match result.outcome:
        case Outcome.SENT:
            return EmailStatus.SENT, 0, message.tries
        case Outcome.UNKNOWN:
            return EmailStatus.UNKNOWN, 0, message.tries
        case Outcome.HELD_BACK | Outcome.NOT_POSTED:
            return EmailStatus.QUEUED, min(result.retry_after_s, wait_s), message.tries - 1
        case Outcome.FILE_REFUSED:  # at once, without them
            return EmailStatus.QUEUED, 0, message.tries
        case Outcome.NOT_SENT if is_down:
            return EmailStatus.QUEUED, wait_s, message.tries - 1
        case Outcome.NOT_SENT if message.tries <= len(BACKOFF):
            return EmailStatus.QUEUED, BACKOFF[message.tries - 1].total_seconds(), message.tries
        case _:
            return EmailStatus.FAILED, 0, message.tries


def _failover_verdict(message: EmailMessage, result: Result) -> tuple[EmailStatus, float, int]:
    """The second route never fails an email: what it does not accept, or refuses, is left to the first."""
    match result.outcome:
        case Outcome.SENT:
            return EmailStatus.SENT, 0, message.tries
        case Outcome.UNKNOWN:
            return EmailStatus.UNKNOWN, 0, message.tries
        case _:
            return EmailStatus.QUEUED, DrainSignal.PROBE_EVERY_S, message.tries - 1


@transaction.atomic
def recover_lost() -> None:
    """Take back what a killed drain had claimed: not posted goes to the queue, posted becomes unknown."""
    expired = EmailMessage.objects.filter(status=EmailStatus.SENDING, leased_until__lt=Now())
    lost = list(expired.select_for_update(skip_locked=True))
    posted = [row.pk for row in lost if row.posting_at]
    if posted:
        rows = EmailMessage.objects.filter(pk__in=posted)
        move_rows(rows, EmailStatus.UNKNOWN, leased_until=None, claims=0, error="the sender was lost")
        EmailAttempt.objects.filter(message__in=posted, outcome=EmailAttempt.Outcome.OPEN).update(
            outcome=EmailAttempt.Outcome.UNKNOWN, error="the sender was lost"
        )
    unposted = [row for row in lost if not row.posting_at]
    for poison in (row for row in unposted if row.claims >= MAX_CLAIMS):
        fail(poison, f"it ended its sender {MAX_CLAIMS} times")
    again = [row.pk for row in unposted if row.claims < MAX_CLAIMS]
    if again:
        move_rows(EmailMessage.objects.filter(pk__in=again), EmailStatus.QUEUED, leased_until=None)


@transaction.atomic
def resolve_unknown() -> None:
    """Decide about emails whose post had no answer, EMAIL_UNKNOWN_WAIT_S after it.

    Where a copy is harmless and still useful, one more is sent, once; otherwise a person decides.
    """
    waited = Now() - timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
    unknown = EmailMessage.objects.filter(status=EmailStatus.UNKNOWN, posting_at__lt=waited)
    rows = list(unknown.select_for_update(skip_locked=True)[:500])
    if not rows:
        return
    before = Counter(
        EmailAttempt.objects.filter(message__in=rows, outcome=EmailAttempt.Outcome.UNKNOWN).values_list(
            "message_id", flat=True
        )
    )
    now = clock.now()
    again = {
        row.pk
        for row in rows
        if EMAILS[row.kind].is_copy_harmless
        and before[row.pk] < 2
        and (row.expires_at is None or row.expires_at > now)
    }
    once_more = EmailMessage.objects.filter(pk__in=again)
    move_rows(once_more, EmailStatus.QUEUED, next_attempt_at=Now(), posting_at=None)
    for row in (row for row in rows if row.pk not in again):
        # Anyone who waited for a code or a test has asked for another since.
        if EMAILS[row.kind].is_sensitive or row.is_test:
            move_rows(EmailMessage.objects.filter(pk=row.pk), EmailStatus.EXPIRED, secret="")
            continue
        move_rows(EmailMessage.objects.filter(pk=row.pk), EmailStatus.WITHHELD)
        StaffTask.open(EmailTask.EMAIL_UNKNOWN, row, row.error)


def forget_secrets() -> None:
    """Blank secrets that open an account, however the email ended: sent or too late."""
    kept = EmailMessage.objects.exclude(secret="")
    kept.filter(Q(expires_at__lt=Now()) | ~Q(status__in=UNFINISHED | {EmailStatus.UNKNOWN})).update(secret="")


def fail(message: EmailMessage, error: str) -> None:
    """Give one email up for good and tell staff."""
    with transaction.atomic():
        row = EmailMessage.objects.filter(pk=message.pk)
        move_rows(row, EmailStatus.FAILED, error=error, leased_until=None, secret="")
        EmailMessage.report_failed(message.kind, error)
