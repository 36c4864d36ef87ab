"""What must hold between emails and the facts that they are about."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import BigIntegerField, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Lower

from billing.models import (
    Credit,
    Payment,
)
from csf.proofs.invariants import Invariant, last_before, pks, with_task
from enrollments.models import User
from notifications.family_data.erase import NO_ADDRESS
from notifications.models import EmailAct, EmailMessage
from notifications.registry import EMAILS
from notifications.task_kinds import EmailTask

SAME_MOMENT = timedelta(minutes=1)
FOR_FAMILIES = [kind for kind, spec in EMAILS.items() if spec.family]
FOR_STAFF = ["staff_alert", "staff_invitation"]
# They also go to an address that an account had, or is to have.
OF_ADDRESSES = ["account_notice", "account_confirm_email", "guardian_invitation"]


@dataclass(frozen=True)
class Fact:
    """A fact that calls for one email of a kind. `subject` is what its key names: of several facts about the
    same subject, one is emailed."""

    kind: str
    rows: QuerySet[Any]
    household: str
    subject: str = "pk"

    def rows_since(self, since: datetime | None) -> QuerySet[Any]:
        return self.rows.filter(pk__gt=last_before(self.rows.model, since))


FACTS = [
    Fact(email.kind, email.required_for.rows, email.required_for.household, email.required_for.about)
    for email in EMAILS.values()
    if email.required_for
]


def emails(since: datetime | None = None, **lookups: Any) -> QuerySet[EmailMessage]:
    """Without test emails, which are about no fact; with `since` those that were written from then on."""
    written = EmailMessage.objects.filter(is_test=False, pk__gt=last_before(EmailMessage, since))
    return written.filter(**lookups)


def _resent_without_a_reason() -> Any:
    acts = EmailAct.objects.filter(message=OuterRef("pk"), act=EmailAct.Act.RESENT).exclude(reason="")
    reasons = acts.order_by().values("message").annotate(n=Count("pk")).values("n")
    copied = EmailMessage.objects.filter(
        pk__in=EmailMessage.objects.exclude(resend_of=None).values("resend_of")
    )
    resent = copied.annotate(copies=Count("resends"), reasons=Coalesce(Subquery(reasons), 0))
    return pks(resent.filter(copies__gt=F("reasons")))


def _sent_twice(since: datetime | None = None) -> Iterator[str]:
    """To one person; a key for each fact forbids it, and what staff send once more names the first."""
    facts = emails(since, kind__in=[fact.kind for fact in FACTS], resend_of=None, recipient__isnull=False)
    copies = facts.order_by().values("kind", "fact_id", "recipient").annotate(n=Count("pk")).filter(n__gt=1)
    yield from (f"{row['kind']}:{row['fact_id']}" for row in copies)


def _without_a_fact(since: datetime | None = None) -> Iterator[int]:
    for fact in FACTS:
        source = fact.rows.model.objects.filter(pk=OuterRef("fact_id"))
        yield from pks(emails(since, kind=fact.kind).filter(~Exists(source)))


def _older_than_their_fact(since: datetime | None = None) -> Iterator[int]:
    """Fact and email are written in one transaction."""
    for fact in FACTS:
        later = fact.rows.model.objects.filter(
            pk=OuterRef("fact_id"), created_at__gt=OuterRef("created_at") + SAME_MOMENT
        )
        yield from pks(emails(since, kind=fact.kind).filter(Exists(later)))


def _with_another_amount(since: datetime | None = None) -> Iterator[int]:
    for kind, model in [("payment_success", Payment), ("credit_added", Credit)]:
        cents = model._default_manager.filter(pk=OuterRef("fact_id")).values("amount_cents")
        rows = emails(since, kind=kind, context__has_key="amount_cents")
        stated = rows.annotate(stated_cents=Cast(KT("context__amount_cents"), BigIntegerField()))
        yield from pks(stated.exclude(stated_cents=Subquery(cents)))


def _unsent_facts(since: datetime | None = None) -> Iterator[str]:
    """A family that cannot be reached gets no email; a task that asks staff to call it counts instead."""
    unreachable = with_task(EmailTask.NOBODY_TO_NOTIFY)
    active = User.objects.filter(is_active=True)
    for fact in FACTS:
        rows = fact.rows_since(since)
        if since:  # most have an email written since; only the rest is searched for among all emails
            rows = rows.exclude(pk__in=emails(since, kind=fact.kind).values("fact_id"))
            rows = fact.rows.filter(pk__in=list(pks(rows)))
        known = fact.rows.model.objects.filter(pk__in=emails(kind=fact.kind).values("fact_id"))
        unsent = rows.exclude(**{f"{fact.subject}__in": known.values(fact.subject)})
        unsent = unsent.exclude(**{f"{fact.household}__in": unreachable})
        readers = active.filter(household=OuterRef(fact.household))
        yield from (f"{fact.kind}:{pk}" for pk in pks(unsent.filter(Exists(readers))))


def _of_another_family(since: datetime | None = None) -> Iterator[int]:
    for fact in FACTS:
        family = fact.rows.model.objects.filter(pk=OuterRef("fact_id")).values(fact.household)
        rows = emails(since, kind=fact.kind, recipient__household__isnull=False)
        rows = rows.filter(~Exists(_changed_by_staff_since()))
        yield from pks(rows.exclude(recipient__household=Subquery(family)))


def _changed_by_staff_since() -> Any:
    """After the email was queued, the office has moved its reader to another family, or taken permissions
    away."""
    return LogEntry.objects.filter(
        content_type__app_label="enrollments",
        content_type__model="user",
        object_id=Cast(OuterRef("recipient"), TextField()),
        action_flag=CHANGE,
        action_time__gt=OuterRef("created_at"),
    )


def _to_another_address(since: datetime | None = None) -> Any:
    """An address that the person does not have, and is not known to have had: a notice names each address
    that was replaced."""
    known = EmailMessage.objects.filter(kind__in=OF_ADDRESSES, recipient=OuterRef("recipient"))
    sent = emails(since, kind__in=FOR_FAMILIES, recipient__isnull=False).alias(address=Lower("to"))
    strange = sent.exclude(address=Lower("recipient__email")).exclude(to__endswith=NO_ADDRESS)
    return pks(strange.filter(~Exists(known.filter(to__iexact=OuterRef("to")))))


def _to_nobodys_family(since: datetime | None = None) -> Any:
    """An account without a family; and what is for staff, to an account that has none of their rights."""
    outside = Q(kind__in=FOR_FAMILIES, recipient__household=None)
    for_staff = Q(kind__in=FOR_STAFF, recipient__is_staff=False)
    rows = emails(since, recipient__isnull=False).filter(outside | for_staff)
    return pks(rows.filter(~Exists(_changed_by_staff_since())))


def _of_no_kind(since: datetime | None = None) -> Any:
    """No constraint says which kinds there are, so that a new email needs no migration."""
    written = EmailMessage.objects.filter(pk__gt=last_before(EmailMessage, since))
    return pks(written.exclude(kind__in=EMAILS))


INVARIANTS = [
    Invariant("E1", "emails sent again without a reason", _resent_without_a_reason),
    Invariant("E1", "facts that one person was emailed about twice", _sent_twice, _sent_twice),
    Invariant("E2", "emails of a kind that does not exist", _of_no_kind, _of_no_kind),
    Invariant("E2", "emails without their fact", _without_a_fact, _without_a_fact),
    Invariant("E2", "emails older than their fact", _older_than_their_fact, _older_than_their_fact),
    Invariant("E2", "emails with another amount than their fact", _with_another_amount, _with_another_amount),
    Invariant("E3", "facts that no one was emailed about", _unsent_facts, _unsent_facts),
    Invariant("E7", "emails to a member of another family", _of_another_family, _of_another_family),
    Invariant(
        "E7", "emails to an address that is not the recipient's", _to_another_address, _to_another_address
    ),
    Invariant(
        "E7",
        "emails to an account that is not among their recipients",
        _to_nobodys_family,
        _to_nobodys_family,
    ),
]
