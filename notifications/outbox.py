"""Queue an email in the outbox. Sending is `notifications.sending.drain`."""

import json
import logging
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from csf.clock import Now
from csf.happened import was_seen_by_predecessor
from csf.jobs.queue import enqueue, enqueue_once
from csf.models import Instance, StaffTask
from enrollments.models import Household, User
from notifications.kinds import title_of
from notifications.models import DrainSignal, EmailMessage, EmailStatus
from notifications.registry import EMAILS
from notifications.spec import AWAITED, Email, Snapshot
from notifications.task_kinds import EmailTask

logger = logging.getLogger(__name__)
MAY_BE_SENT = (
    "withheld: it happened before this installation took over, and the previous one may have sent it"
)


def notify(kind: str, facts: Iterable[Any]) -> None:
    """Queue the `kind` email about each fact for each recipient, once.

    Writes outbox rows in the caller's transaction and sends nothing; a fact that already has its email
    adds no row. A failing snapshot leaves a `failed` row for staff: it never undoes the order that caused it.
    """
    facts = list(facts)
    try:
        with transaction.atomic():  # one savepoint for all facts, not one each
            rows = [row for fact in facts for row in _new_rows(kind, fact)]
    except Exception:
        rows = [row for fact in facts for row in _new_or_failed_rows(kind, fact)]
    _withhold_possible_copies(kind, facts, rows)
    if EMAILS[kind].is_plain:
        EmailMessage.objects.add_plain(rows)
    else:
        EmailMessage.objects.bulk_create(rows, ignore_conflicts=True)
    transaction.on_commit(kick_drain, robust=True)
    if EMAILS[kind].priority == AWAITED:
        transaction.on_commit(kick_urgent, robust=True)


def _withhold_possible_copies(kind: str, facts: list[Any], rows: list[EmailMessage]) -> None:
    """After a restore, the lost installation may already have sent emails about facts from before it."""
    known = _seen_by_predecessor(kind, facts)
    withheld = [row for row in rows if row.fact_id in known and row.status == EmailStatus.QUEUED]
    for row in withheld:
        row.status, row.error = EmailStatus.WITHHELD, MAY_BE_SENT
    if withheld:
        EmailMessage.report_withheld()


def _seen_by_predecessor(kind: str, facts: list[Any]) -> set[int]:
    if happened_at := EMAILS[kind].happened_at:
        until = Instance.may_be_known_until()
        return {fact.pk for fact in facts if until and happened_at(fact) < until}
    return {fact.pk for fact in facts} if was_seen_by_predecessor() else set()


def unsent(kind: str, facts: Iterable[Any]) -> list[Any]:
    """The facts that still need an email to someone, each key once: one statement for all of them."""
    by_key = {dedupe_key(kind, fact, user): fact for fact in facts for user in EMAILS[kind].recipients(fact)}
    known = set(EmailMessage.objects.filter(dedupe_key__in=by_key).values_list("dedupe_key", flat=True))
    return list({id(fact): fact for key, fact in by_key.items() if key not in known}.values())


def dedupe_key(kind: str, fact: Any, user: User) -> str:
    return f"{kind}:{EMAILS[kind].key(fact)}:{user.pk}"


def ask_staff_to_call(kind: str, fact: Any) -> None:
    """For an email about money or a seat that nobody in the family can get; one open task for each family."""
    if family := EMAILS[kind].family:
        detail = (
            f"{title_of(kind)}: nobody got this email, because the family has no guardian who can "
            "sign in. Call the family, or add a guardian."
        )
        StaffTask.open(EmailTask.NOBODY_TO_NOTIFY, Household(pk=family(fact)), detail)


def _new_rows(kind: str, fact: Any) -> list[EmailMessage]:
    spec = EMAILS[kind]
    users = spec.recipients(fact)
    if not users:
        ask_staff_to_call(kind, fact)
    return [
        _row(
            kind,
            fact,
            user,
            **_content(spec, spec.snapshot(fact) | {"first_name": user.first_name}),
            expires_at=spec.expires(fact),
        )
        for user in users
    ]


def _content(spec: Email, facts: Snapshot) -> dict[str, Any]:
    return {"context": {}, "secret": json.dumps(facts)} if spec.is_sensitive else {"context": facts}


def _new_or_failed_rows(kind: str, fact: Any) -> list[EmailMessage]:
    try:
        with transaction.atomic():  # a failing query must not poison the caller's transaction
            return _new_rows(kind, fact)
    except Exception:
        logger.exception("no snapshot for %s of fact %s", kind, fact.pk)
    EmailMessage.report_failed(kind, "the snapshot failed; see the log")
    failed = {"context": {}, "status": EmailStatus.FAILED, "error": "the snapshot failed; see the log"}
    try:
        with transaction.atomic():
            return [_row(kind, fact, user, **failed) for user in EMAILS[kind].recipients(fact)]
    except Exception:
        logger.exception("no recipients for %s of fact %s", kind, fact.pk)
        return []


def _row(kind: str, fact: Any, user: User, **fields: Any) -> EmailMessage:
    spec = EMAILS[kind]
    if delay := spec.delay(fact):
        fields["next_attempt_at"] = Now() + delay
    return EmailMessage(
        kind=kind,
        fact_id=fact.pk,
        recipient_id=user.pk,
        to=user.email,
        priority=spec.priority,
        dedupe_key=dedupe_key(kind, fact, user),
        **fields,
    )


def kick_drain() -> None:
    """Wake one drain unless one is on its way. If the wake-up is lost, the sweep starts one within a
    minute."""
    if DrainSignal.is_raised():  # as for most emails of many; needs no transaction
        return
    with transaction.atomic():
        if DrainSignal.raise_():
            enqueue("notifications.tasks.drain")


def kick_urgent() -> None:
    """Wake the worker for emails that someone waits for. A drain that is already running may be faster."""
    enqueue_once("notifications.tasks.send_awaited", urgent=True)
