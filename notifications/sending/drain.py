"""Sending what is in the outbox: claim, check, render, fence, post, settle.

HTTP happens only in threads, the database only in the main thread. Rows are claimed a few at a time and their
posts are committed before they are made (the fence): a killed drain leaves as "unknown" only what was really
in flight, and everything else that it had claimed goes back to the queue.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import InterfaceError, OperationalError, connection, transaction

from csf import clock
from csf.database.advisory_locks import free_slot
from csf.jobs.queue import enqueue
from csf.models import Instance
from csf.state import move_rows
from notifications.delivery.suppression import keep_back
from notifications.models import LEASE, DrainSignal, EmailAttempt, EmailMessage, EmailStatus
from notifications.outbox import kick_drain
from notifications.preferences.rules import footer_links
from notifications.registry import EMAILS
from notifications.rendering.render import MAX_SUBJECT, render
from notifications.sending import failover
from notifications.sending.compose import outgoing
from notifications.sending.results import fail, settle
from notifications.sending.transport import Backend, Outcome, Result, SendGridBackend, post
from notifications.spec import AWAITED

logger = logging.getLogger(__name__)

CLAIM_SIZE = 32  # rendered while the posts of the claim before wait for their answers
MANY = 200  # due emails that are worth a second drain beside this one
# The queue ends a task after 60 s: 25 of claiming, at most GRACE_S for a suspect to be alone, GRACE_S for the
# last posts.
BUDGET_S = 25.0
GRACE_S = 15.0  # longer than the slowest post: 3 s to connect, 10 s to answer
LONGEST_PAUSE_S = 5.0  # a gate that is closed for longer ends the drain
LOCK_CLASS = 20_250  # of its slots
TROUBLE = {Outcome.NOT_SENT, Outcome.HELD_BACK, Outcome.UNKNOWN}  # with the second route itself
TOO_LATE, UNTRUE = "it was too late to send", "its content was no longer true"
TEST_SUBJECT = "[TEST] "

# `leased_until` tells whether a row is still ours: a drain that stood still for long may have lost it to
# another, and a fenced row has a new one.
FENCE = """
WITH fenced AS (
    UPDATE notifications_emailmessage AS message
    SET subject = ready.subject, html = ready.html, text = ready.text,
        posting_at = csf_now(), leased_until = csf_now() + %s, tries = message.tries + 1
    FROM json_to_recordset(%s) AS ready(id bigint, subject text, html text, text text)
    WHERE message.id = ready.id AND message.status = 'sending' AND message.leased_until = %s
    RETURNING message.id
)
INSERT INTO notifications_emailattempt (message_id, route, outcome, provider_message_id, error)
SELECT id, %s, 'open', '', '' FROM fenced
RETURNING message_id, id
"""


def drain() -> None:
    """Send due emails for up to BUDGET_S, in one of EMAIL_DRAINS slots; wakes the next drain if rows are
    left. In quarantine all stay queued."""
    DrainSignal.clear()  # even without a free slot: else no later email could wake a drain
    if Instance.why_quarantined():
        return
    with free_slot(LOCK_CLASS, of=settings.EMAIL_DRAINS) as slot:
        if slot is None:
            return
        if EmailMessage.objects.due()[MANY:].exists():
            enqueue("notifications.tasks.drain")  # a second slot renders on another core
        _send_due(deadline=time.monotonic() + BUDGET_S)
    closed_s, _ = DrainSignal.gate()
    if closed_s <= 0 and EmailMessage.objects.due().exists():
        kick_drain()


def drain_awaited() -> None:
    """Send only what someone waits for, beside the drains, however busy they are."""
    if not Instance.why_quarantined():
        _send_due(deadline=time.monotonic() + BUDGET_S, only_awaited=True)


def _send_due(*, deadline: float, only_awaited: bool = False) -> None:
    claim = _claim_awaited if only_awaited else _claim
    with _Posts() as posts:
        while time.monotonic() < deadline:
            closed_s, is_down = DrainSignal.gate()
            if closed_s > 0:
                posts.recall()
                if failover.is_on():
                    _fail_over(deadline=deadline)
                    closed_s, _ = DrainSignal.gate()
                if closed_s > LONGEST_PAUSE_S:
                    break
                time.sleep(max(closed_s, 0) + 0.05)  # what was held back with it is then due too
            elif len(posts) >= settings.EMAIL_THREADS or (is_down and len(posts)):
                posts.settle_some()
            elif rows := claim(1 if is_down else CLAIM_SIZE):
                posts.start(rows)
            elif len(posts):
                posts.settle_some()
            else:
                break


def _fail_over(*, deadline: float) -> None:
    """By the second route, until the gate of the first one opens. The first email goes alone, and trouble
    with any ends it until the next drain: it may be down as well."""
    with _Posts(EmailAttempt.Route.FAILOVER) as posts:
        while time.monotonic() < deadline and DrainSignal.gate()[0] > 0:
            limit = failover.THREADS if posts.outcomes else 1
            if posts.outcomes & TROUBLE:
                break
            if len(posts) >= limit:
                posts.settle_some()
            elif rows := _claim_for_failover(limit):
                posts.start(rows)
            elif len(posts):
                posts.settle_some()
            else:
                break


class _Posts:
    """Posts under way by one route, each in a thread with a kept connection of its own."""

    def __init__(self, route: EmailAttempt.Route = EmailAttempt.Route.MAIN) -> None:
        is_main = route == EmailAttempt.Route.MAIN
        self._route = route
        self._backend: Callable[[], Backend] = SendGridBackend if is_main else failover.backend
        self._pool = ThreadPoolExecutor(settings.EMAIL_THREADS if is_main else failover.THREADS)
        self._flying: dict[Future[Result], EmailAttempt] = {}
        self._local = threading.local()
        self._backends: list[Backend] = []
        self.outcomes: set[Outcome] = set()

    def __len__(self) -> int:
        return len(self._flying)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End in bounded time, even if the database or the queue's timeout interrupts: posts that were not
        started go back, started ones are settled. Any without a result become unknown when their lease
        ends."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._wait(GRACE_S)
        for backend in self._backends:
            backend.abort()
        self._wait(1)
        for backend in self._backends:
            backend.close()
        if error and not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        self.settle_done()

    def start(self, rows: list[EmailMessage]) -> None:
        """The claimed rows that may be sent."""
        if rows[0].claims:  # it may end this process: nothing else may be in flight then
            self.finish()
        for attempt, message in _fence(keep_back(_worth_sending(rows)), self._route):
            self._flying[self._pool.submit(self._post, message)] = attempt

    def _post(self, message: EmailMultiAlternatives) -> Result:
        if not hasattr(self._local, "backend"):
            self._local.backend = self._backend()
            self._backends.append(self._local.backend)
        return post(message, self._local.backend)

    def settle_some(self) -> None:
        """Wait a little for results, and for a few more to settle with them."""
        wait(self._flying, timeout=0.2, return_when=FIRST_COMPLETED)
        wait(self._flying, timeout=0.05)
        self.settle_done()

    def recall(self) -> None:
        """Take back what no thread has started, and wait for the rest."""
        for future in self._flying:
            future.cancel()
        self.finish()

    def finish(self) -> None:
        self._wait(GRACE_S)
        self.settle_done()

    def settle_done(self) -> None:
        done = [future for future in self._flying if future.done()]
        results = [(self._flying[future], _result(future)) for future in done]
        settle(results)
        self.outcomes |= {result.outcome for _, result in results}
        for future in done:
            del self._flying[future]

    def _wait(self, seconds: float) -> None:
        wait([future for future in self._flying if not future.cancelled()], timeout=seconds)


def _result(future: Future[Result]) -> Result:
    if future.cancelled():
        return Result(Outcome.NOT_POSTED, error="it was withdrawn before its turn")
    return future.result()


def _claim(limit: int) -> list[EmailMessage]:
    with transaction.atomic():
        return EmailMessage.objects.claim(limit)


def _claim_awaited(limit: int) -> list[EmailMessage]:
    with transaction.atomic():
        return EmailMessage.objects.filter(priority=AWAITED).claim(limit)


def _claim_for_failover(limit: int) -> list[EmailMessage]:
    with transaction.atomic():
        return failover.emails().claim(limit)


def _worth_sending(rows: list[EmailMessage]) -> list[EmailMessage]:
    """Drop what came too late or is no longer true; one query for each kind in the batch."""
    now = clock.now()
    worth: list[EmailMessage] = []
    stale: dict[str, list[int]] = {TOO_LATE: [], UNTRUE: []}
    for kind in {row.kind for row in rows}:
        ours = [row for row in rows if row.kind == kind]
        true = _true_facts(kind, [row for row in ours if not row.is_test])
        for row in ours:
            if row.expires_at is not None and row.expires_at <= now:
                stale[TOO_LATE].append(row.pk)
            elif row.fact_id in true or row.is_test:
                worth.append(row)
            else:
                stale[UNTRUE].append(row.pk)
    for why, pks in stale.items():
        if pks:
            claimed = EmailMessage.objects.filter(pk__in=pks, status=EmailStatus.SENDING)
            move_rows(claimed, EmailStatus.EXPIRED, error=why, leased_until=None, secret="")
    return worth


def _fence(
    rows: list[EmailMessage], route: EmailAttempt.Route = EmailAttempt.Route.MAIN
) -> list[tuple[EmailAttempt, EmailMultiAlternatives]]:
    """Render the rows and commit, before any post, that these posts are about to be made."""
    ready = {row.pk: (row, message) for row in rows if (message := _prepared(row))}
    if not ready:
        return []
    # As JSON: psycopg quotes arrays of long texts in Python.
    texts = json.dumps(
        [
            {"id": pk, "subject": row.subject, "html": row.html, "text": row.text}
            for pk, (row, _) in ready.items()
        ]
    )
    values: list[Any] = [LEASE, texts, rows[0].leased_until, route.value]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FENCE, values)
        fenced = cursor.fetchall()
    attempts = []
    for message_pk, pk in fenced:
        row, message = ready[message_pk]
        attempts.append((EmailAttempt(pk=pk, message=row, route=route), message))
    return attempts


def _prepared(row: EmailMessage) -> EmailMultiAlternatives | None:
    """A row that cannot be rendered or addressed fails by itself; it never stops its batch."""
    try:
        parts = render(row.kind, row.facts | footer_links(row))
        row.subject, row.html, row.text = parts.subject, parts.html, parts.text
        if row.is_test:
            row.subject = (TEST_SUBJECT + row.subject)[:MAX_SUBJECT]
        row.tries += 1
        message = outgoing(row)
        if EMAILS[row.kind].is_sensitive:
            row.html = row.text = ""  # they open an account: only the message has them
        return message
    except Exception as error:
        logger.exception("cannot render email %s (%s)", row.pk, row.kind)
        fail(row, f"{type(error).__name__}: {error}")
        return None


def _true_facts(kind: str, rows: list[EmailMessage]) -> set[int]:
    """A broken check fails its own rows; emails of other kinds are still sent."""
    try:
        with transaction.atomic():
            return EMAILS[kind].still_true([row.fact_id for row in rows])
    except (OperationalError, InterfaceError):
        raise  # the database, not the check
    except Exception as error:
        logger.exception("cannot check emails of kind %s", kind)
        for row in rows:
            fail(row, f"{type(error).__name__}: {error}")
        return set()
