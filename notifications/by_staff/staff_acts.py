"""What staff do with emails. Each action changes only rows whose status is still the expected one, because a
drain may claim one meanwhile. The person and the reason are stored in its EmailAct."""

from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from django.core.mail import EmailMultiAlternatives
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from csf import clock
from csf.clock import Now
from csf.dates import start_of_day
from csf.models import StaffTask
from csf.refusal import NotPossible
from csf.state import move_rows
from enrollments.models import User
from notifications.by_staff.redact_links import redacted
from notifications.models import EmailAct, EmailAttempt, EmailMessage, EmailStatus
from notifications.outbox import kick_drain
from notifications.registry import EMAILS, FIXED_ADDRESS, SENSITIVE
from notifications.sending.compose import outgoing

ON_ITS_WAY = {EmailStatus.QUEUED, EmailStatus.SENDING, EmailStatus.UNKNOWN}
RESEND_LIFE = timedelta(days=1)
TEST_LIFE = timedelta(hours=1)
TESTS_AN_HOUR = 10
KEPT_FOREVER = {"order_number"}
READ = """
INSERT INTO notifications_emailact (message_id, act, by_id, reason)
SELECT %(email)s, %(act)s, %(by)s, '' WHERE NOT EXISTS (
    SELECT FROM notifications_emailact
    WHERE message_id = %(email)s AND act = %(act)s AND by_id = %(by)s AND created_at >= %(since)s
)
"""


# --- Queued and withheld ------------------------------------------------------------------------------------


def can_be_withheld(emails: QuerySet[EmailMessage]) -> QuerySet[EmailMessage]:
    """Someone waiting for a code would only ask for another."""
    return emails.filter(status=EmailStatus.QUEUED).exclude(kind__in=SENSITIVE)


def can_be_requeued(emails: QuerySet[EmailMessage]) -> QuerySet[EmailMessage]:
    in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
    return emails.filter(in_time, status=EmailStatus.WITHHELD).exclude(kind__in=SENSITIVE).exclude(context={})


def may_have_gone(emails: QuerySet[EmailMessage]) -> QuerySet[EmailMessage]:
    """The withheld ones that the family may have received: a post had no answer, or it was not staff who
    withheld it first (after a restore, the original may have sent it)."""
    unanswered = EmailAttempt.objects.filter(
        message=OuterRef("pk"), outcome__in=[EmailAttempt.Outcome.OPEN, EmailAttempt.Outcome.UNKNOWN]
    )
    acts = EmailAct.objects.filter(
        message=OuterRef("pk"), act__in=[EmailAct.Act.WITHHELD, EmailAct.Act.REQUEUED]
    )
    first = Coalesce(Subquery(acts.order_by("pk").values("act")[:1]), Value(""))
    not_by_staff = ~Q(first_act=EmailAct.Act.WITHHELD)
    withheld = emails.filter(status=EmailStatus.WITHHELD).alias(first_act=first)
    return withheld.filter(Exists(unanswered) | not_by_staff)


def withhold_all(*, emails: QuerySet[EmailMessage], by: User, reason: str) -> int:
    """Withhold those that are still queued, and return how many."""
    act = _Act(EmailAct.Act.WITHHELD, by, reason)
    with transaction.atomic():
        return _move(can_be_withheld(_again(emails)), EmailStatus.WITHHELD, act, error=f"withheld: {reason}")


def requeue_all(*, emails: QuerySet[EmailMessage], by: User, reason: str) -> int:
    """Return withheld ones that are still worth sending to the queue, and return how many."""
    act = _Act(EmailAct.Act.REQUEUED, by, reason)
    afresh: dict[str, Any] = {"next_attempt_at": Now(), "posting_at": None, "claims": 0, "error": ""}
    with transaction.atomic():
        count = _move(can_be_requeued(_again(emails)), EmailStatus.QUEUED, act, **afresh)
        transaction.on_commit(kick_drain, robust=True)
    return count


def withhold(*, email: EmailMessage, by: User, reason: str) -> None:
    if not withhold_all(emails=EmailMessage.objects.filter(pk=email.pk), by=by, reason=reason):
        raise NotPossible("It is no longer queued: it may already be on its way.")


def requeue(*, email: EmailMessage, by: User, reason: str) -> None:
    if not requeue_all(emails=EmailMessage.objects.filter(pk=email.pk), by=by, reason=reason):
        raise NotPossible("It is no longer withheld, or no longer worth sending.")


def mark_sent(*, email: EmailMessage, by: User, reason: str) -> None:
    """A person found out that the family has it."""
    act, sent_at = _Act(EmailAct.Act.MARKED_SENT, by, reason), Coalesce(F("posting_at"), Now())
    found = may_have_gone(EmailMessage.objects.filter(pk=email.pk))
    with transaction.atomic():
        if not _move(found, EmailStatus.SENT, act, sent_at=sent_at, error=""):
            raise NotPossible("It is no longer withheld.")


def _again(emails: QuerySet[EmailMessage]) -> QuerySet[EmailMessage]:
    """The same rows, whatever a list has joined, ordered or left out."""
    return EmailMessage.objects.filter(pk__in=emails.order_by().values("pk"))


@dataclass(frozen=True)
class _Act:
    act: EmailAct.Act
    by: User
    reason: str


def _move(emails: QuerySet[EmailMessage], to: EmailStatus, act: _Act, **columns: Any) -> int:
    """Lock them, and check their status again: PostgreSQL tests the filter again on the locked row."""
    rows = list(emails.order_by("pk").select_for_update(no_key=True, of=("self",)).only("pk"))
    if not rows:
        return 0
    move_rows(EmailMessage.objects.filter(pk__in=[row.pk for row in rows]), to, **columns)
    EmailAct.objects.bulk_create(
        EmailAct(message=row, act=act.act, by=act.by, reason=act.reason) for row in rows
    )
    _close_tasks([row.pk for row in rows], act.by)
    return len(rows)


def _close_tasks(pks: list[int], by: User) -> None:
    """What they asked is decided."""
    subjects = [f"{EmailMessage._meta.label_lower}:{pk}" for pk in pks]
    StaffTask.objects.filter(subject__in=subjects).close(by=by)


# --- Once more ----------------------------------------------------------------------------------------------


def original_of(email: EmailMessage) -> EmailMessage:
    return email.resend_of or email


def address_for(email: EmailMessage) -> str:
    """The person's current address."""
    person = email.recipient
    return email.to if person is None or email.kind in FIXED_ADDRESS else person.email


def why_no_resend(original: EmailMessage) -> str:
    """In words; empty if it can be sent again."""
    if original.is_test:
        return "It was a test."
    if original.kind in SENSITIVE:
        return "It gave access to an account. Whoever needs it can ask for a new one on the sign-in page."
    family = EmailMessage.objects.filter(Q(pk=original.pk) | Q(resend_of=original))
    if family.filter(status__in=ON_ITS_WAY).exists():
        return "It may still be on its way."
    if can_be_requeued(family).exists():
        return "It is withheld: release it instead."
    if set(original.context) <= KEPT_FOREVER:
        return "Its content is no longer stored."
    if not EMAILS[original.kind].still_true([original.fact_id]):
        return "Its content is no longer true."
    return ""


def resend(*, email: EmailMessage, number: int, by: User, reason: str) -> EmailMessage:
    """Queue the same facts again, to the person's current address. `number` counts the copies: two
    presses at once ask for the same one."""
    with transaction.atomic():
        original = EmailMessage.objects.select_for_update(no_key=True).get(pk=original_of(email).pk)
        if why_not := why_no_resend(original):
            raise NotPossible(why_not)
        if number != original.resends.count() + 1:
            raise NotPossible("It was just sent again.")
        copied = EmailMessage.objects.create(
            kind=original.kind,
            recipient=original.recipient,
            to=address_for(original),
            fact_id=original.fact_id,
            dedupe_key=f"{original.dedupe_key}:resend:{number}",
            context=original.context,
            priority=original.priority,
            expires_at=clock.now() + RESEND_LIFE,
            resend_of=original,
        )
        EmailAct.objects.create(message=original, act=EmailAct.Act.RESENT, by=by, reason=reason)
        _close_tasks([original.pk, email.pk], by)
        transaction.on_commit(kick_drain, robust=True)
    return copied


# --- Tests --------------------------------------------------------------------------------------------------


def send_test(*, kind: str, facts: dict[str, Any], by: User, key: UUID) -> EmailMessage:
    """Send it to the person's own address and nobody else's; a form that is posted twice has the same key.

    It has no recipient, because it is not an email to that person, and its links change no choices.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=by.pk)  # the presses of one person count in turn
        dedupe_key = f"test:{by.pk}:{key}"
        if found := EmailMessage.objects.filter(dedupe_key=dedupe_key).first():
            return found
        an_hour_ago = clock.now() - timedelta(hours=1)
        tests = EmailAct.objects.filter(by=by, act=EmailAct.Act.SENT_TEST, created_at__gt=an_hour_ago)
        if tests.count() >= TESTS_AN_HOUR:
            raise NotPossible(f"You can send {TESTS_AN_HOUR} tests an hour. Please wait a little.")
        email = EmailMessage.objects.create(
            kind=kind,
            to=by.email,
            fact_id=0,
            dedupe_key=dedupe_key,
            context=facts,
            expires_at=clock.now() + TEST_LIFE,
            is_test=True,
        )
        EmailAct.objects.create(message=email, act=EmailAct.Act.SENT_TEST, by=by)
        transaction.on_commit(kick_drain, robust=True)
    return email


# --- Reading ------------------------------------------------------------------------------------------------


def log_read(*, email: EmailMessage, by: User) -> None:
    """Once a day is enough to know who has read it."""
    values: dict[str, Any] = {
        "email": email.pk,
        "act": EmailAct.Act.READ.value,
        "by": by.pk,
        "since": start_of_day(clock.today()),
    }
    with connection.cursor() as cursor:
        cursor.execute(READ, values)


def can_be_downloaded(email: EmailMessage) -> bool:
    """Its texts are there once it was rendered, for as long as they are kept."""
    return bool(email.html and email.text) and email.kind not in SENSITIVE


def eml(*, email: EmailMessage, by: User) -> bytes:
    """The message as it was sent, with dots for the tokens in its links. Raises NotPossible."""
    if not can_be_downloaded(email):
        raise NotPossible("Its text is not stored.")
    EmailAct.objects.create(message=email, act=EmailAct.Act.DOWNLOADED, by=by)
    return bytes(_as_sent(email).message().as_bytes(linesep="\r\n"))  # type: ignore[call-arg] # Django's own


def _as_sent(email: EmailMessage) -> EmailMultiAlternatives:
    row = copy(email)
    row.html, row.text = redacted(email.html), redacted(email.text)
    message = outgoing(row)
    headers = {name: redacted(str(value)) for name, value in message.extra_headers.items()}
    message.extra_headers = headers | {"Date": format_datetime(email.sent_at or email.created_at)}
    return message
