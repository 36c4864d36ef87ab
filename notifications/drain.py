"""Sending what the outbox holds: claim, check, render, fence, post, settle.

HTTP happens only in threads, the database only in the main thread. Before each small batch of posts its rows
are stamped `posting_at` and its attempts are committed (the fence): a killed drain leaves as "unknown" only
what was really in flight, and everything else that it had claimed goes back to the queue.
"""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from email.headerregistry import Address
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from notifications.kinds import EmailKind
from notifications.models import DrainSignal, EmailAttempt, EmailMessage, EmailStatus
from notifications.outbox import kick_drain
from notifications.registry import EMAILS
from notifications.render import render
from notifications.settle import fail, settle
from notifications.transport import Result, SendGridBackend, post

logger = logging.getLogger(__name__)

CLAIM_SIZE = 100
FENCE_SIZE = 16
# 30 s of claiming, 13 s for the slowest post and its settling end before the queue's timeout of 60 s.
BUDGET_S = 30.0
LOCK_CLASS = 20_250  # names our advisory locks; any constant that nobody else uses


def drain() -> None:
    """Send due emails for up to BUDGET_S, in one of EMAIL_DRAINS slots; wakes the next drain if rows are
    left."""
    with _slot() as free:
        if not free:
            return
        DrainSignal.clear()
        _send_due(deadline=time.monotonic() + BUDGET_S)
    if EmailMessage.objects.due().exists():
        kick_drain()


@contextmanager
def _slot() -> Iterator[bool]:
    """One of EMAIL_DRAINS session locks; it goes with the connection, so a crash frees it."""
    with connection.cursor() as cursor:
        for slot in range(settings.EMAIL_DRAINS):
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, slot])
            if cursor.fetchone()[0]:
                break
        else:
            yield False
            return
    try:
        yield True
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_CLASS, slot])


def _send_due(*, deadline: float) -> None:
    senders = _Senders()
    flying: dict[Future[Result], EmailAttempt] = {}
    waiting: list[EmailMessage] = []
    with ThreadPoolExecutor(settings.EMAIL_THREADS) as pool:
        while True:
            if not waiting and time.monotonic() < deadline:
                waiting = _claim()
            if waiting and len(flying) < settings.EMAIL_THREADS:
                batch, waiting = waiting[:FENCE_SIZE], waiting[FENCE_SIZE:]
                for attempt in _fence(batch):
                    flying[pool.submit(senders.send, _outgoing(attempt.message))] = attempt
            elif flying:
                wait(flying, timeout=0.05, return_when=FIRST_COMPLETED)
            else:
                break
            done = {future: flying.pop(future) for future in list(flying) if future.done()}
            settle([(attempt, future.result()) for future, attempt in done.items()])
        senders.close()


def _claim() -> list[EmailMessage]:
    with transaction.atomic():
        rows = EmailMessage.objects.claim(CLAIM_SIZE)
    return _worth_sending(rows) if rows else []


def _worth_sending(rows: list[EmailMessage]) -> list[EmailMessage]:
    """Drop what came too late or is no longer true; one query for each kind in the batch."""
    now = timezone.now()
    true: dict[str, set[int]] = {}
    for kind in {row.kind for row in rows}:
        facts = [row.fact_id for row in rows if row.kind == kind]
        true[kind] = EMAILS[EmailKind(kind)].still_true(facts)
    stale = [
        row for row in rows if (row.expires_at and row.expires_at <= now) or row.fact_id not in true[row.kind]
    ]
    if stale:
        EmailMessage.objects.filter(pk__in=[row.pk for row in stale], status=EmailStatus.SENDING).update(
            status=EmailStatus.EXPIRED, leased_until=None
        )
    return [row for row in rows if row not in stale]


def _fence(batch: list[EmailMessage]) -> list[EmailAttempt]:
    """Render the batch and commit, before any post, that these posts are about to be made."""
    ready = [row for row in batch if _rendered(row)]
    with transaction.atomic():
        EmailMessage.objects.bulk_update(ready, ["subject", "html", "text"])
        ours = EmailMessage.objects.filter(pk__in=[row.pk for row in ready], status=EmailStatus.SENDING)
        ours.update(posting_at=Now(), tries=F("tries") + 1)
        for row in ready:
            row.tries += 1
        return EmailAttempt.objects.bulk_create(EmailAttempt(message=row) for row in ready)


def _rendered(row: EmailMessage) -> bool:
    """A row that cannot be rendered fails by itself; it never stops its batch."""
    try:
        parts = render(EmailKind(row.kind), row.context)
    except Exception as error:
        logger.exception("cannot render email %s (%s)", row.pk, row.kind)
        fail(row, f"{type(error).__name__}: {error}")
        return False
    row.subject, row.html, row.text = parts.subject, parts.html, parts.text
    return True


def _outgoing(row: EmailMessage) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(
        subject=row.subject,
        body=row.text,
        to=[str(Address(display_name=row.recipient.get_full_name(), addr_spec=row.to))],
        reply_to=[settings.SCHOOL_EMAIL],
        headers=_headers(row),
    )
    message.attach_alternative(row.html, "text/html")
    # Ids only: SendGrid keeps these for long, for its staff to see.
    message.metadata = {"outbox_id": str(row.public_id), "outbox_try": str(row.tries), "mail_kind": row.kind}  # type: ignore[attr-defined]
    message.tags = [row.kind]  # type: ignore[attr-defined]
    return message


def _headers(row: EmailMessage) -> dict[str, str]:
    domain = urlsplit(settings.SITE_URL).hostname
    headers = {
        "Message-ID": f"<{row.kind}.{row.public_id}@{domain}>",  # the same on every try
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
    }
    if number := row.context.get("order_number"):
        headers["References"] = headers["In-Reply-To"] = f"<order.{number}@{domain}>"
    return headers


class _Senders:
    """One backend with one kept connection for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[SendGridBackend] = []

    def send(self, message: EmailMultiAlternatives) -> Result:
        if not hasattr(self._local, "backend"):
            self._local.backend = SendGridBackend()
            self._all.append(self._local.backend)
        return post(message, self._local.backend)

    def close(self) -> None:
        for backend in self._all:
            backend.close()
