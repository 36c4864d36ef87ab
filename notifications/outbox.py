"""Owing an email. Sending is `notifications.drain`."""

import logging
from collections.abc import Iterable
from typing import Any

from django.db import models, transaction

from csf.jobs import enqueue
from enrollments.models import User
from notifications.kinds import EmailKind
from notifications.models import DrainSignal, EmailMessage, EmailStatus
from notifications.registry import EMAILS

logger = logging.getLogger(__name__)


def notify(kind: EmailKind, facts: Iterable[models.Model]) -> None:
    """Owe the `kind` email about each fact to each of its recipients, once.

    Writes outbox rows in the caller's transaction and sends nothing; a fact that was told already adds no
    row. A snapshot that fails leaves a `failed` row for staff: it never undoes the order that caused it.
    """
    owed = [_owe(kind, fact, user) for fact in facts for user in EMAILS[kind].recipients(fact)]
    EmailMessage.objects.bulk_create(owed, batch_size=1000, ignore_conflicts=True)
    transaction.on_commit(kick_drain)


def _owe(kind: EmailKind, fact: Any, user: User) -> EmailMessage:
    spec = EMAILS[kind]
    message = EmailMessage(
        kind=kind,
        fact_id=fact.pk,
        recipient=user,
        to=user.email,
        context={},
        priority=spec.priority,
        dedupe_key=f"{kind}:{spec.key(fact)}:{user.pk}",
    )
    try:
        with transaction.atomic():  # a failing query must not poison the caller's transaction
            message.context = spec.snapshot(fact) | {"first_name": user.first_name}
            message.expires_at = spec.expires(fact)
    except Exception:
        logger.exception("no snapshot for %s of fact %s", kind, fact.pk)
        message.status, message.error = EmailStatus.FAILED, "the snapshot failed; see the log"
    return message


def kick_drain() -> None:
    """Wake one drain unless one is on its way. A lost kick costs a minute: the sweep needs none."""
    if DrainSignal.raise_():
        enqueue("notifications.tasks.drain")
