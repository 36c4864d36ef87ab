"""About the posts of emails: none twice, too late, against a choice, or forgotten."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat, Lower

from billing.models import InstallmentTransition
from csf.clock import Now
from csf.models import Instance, StaffTask
from csf.proofs.invariants import Invariant, last_before, pks, quarantined_since
from notifications.models import (
    LEASE,
    DrainSignal,
    EmailAct,
    EmailAttempt,
    EmailEvent,
    EmailMessage,
    EmailPreference,
    EmailStatus,
    Suppression,
)
from notifications.registry import EMAILS
from notifications.task_kinds import EmailTask

LATE = timedelta(minutes=15)
NOT_FOLDED = timedelta(hours=1)
Outcome = EmailAttempt.Outcome
HARMLESS = [kind for kind, spec in EMAILS.items() if spec.is_copy_harmless]
NOT_ESSENTIAL = [kind for kind, spec in EMAILS.items() if spec.group != "essential"]
POSTED = [
    EmailStatus.SENT,
    EmailStatus.DELIVERED,
    EmailStatus.BOUNCED,
    EmailStatus.DROPPED,
    EmailStatus.COMPLAINED,
]


def _posts(since: datetime | None) -> QuerySet[EmailAttempt]:
    return EmailAttempt.objects.filter(pk__gt=last_before(EmailAttempt, since, at="posted_at"))


def _stuck() -> Any:
    """Unless the provider accepts nothing, or staff already know that nothing goes out."""
    blocked = StaffTask.objects.open().filter(kind=EmailTask.EMAIL_SENDER_BLOCKED)
    if DrainSignal.gate()[0] > 0 or blocked.exists() or Instance.why_quarantined():
        return EmailMessage.objects.none().values_list("pk", flat=True)
    since = Now() - LATE
    decided_at = since - timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
    return pks(
        EmailMessage.objects.filter(
            Q(status=EmailStatus.QUEUED, next_attempt_at__lt=since)
            | Q(Q(leased_until__lt=since) | Q(leased_until=None), status=EmailStatus.SENDING)
            | Q(status=EmailStatus.UNKNOWN, posting_at__lt=decided_at)
        )
    )


def _followed(since: datetime | None = None, **lookups: Any) -> QuerySet[EmailAttempt]:
    """Posts after which another one was made of the same email."""
    later = _posts(since).filter(message=OuterRef("message"), pk__gt=OuterRef("pk"))
    return EmailAttempt.objects.filter(Exists(later), **lookups)


def _posted_again_blindly(since: datetime | None = None) -> Any:
    taken = _followed(since, outcome__in=[Outcome.OPEN, Outcome.SENT])
    return pks(EmailMessage.objects.filter(pk__in=taken.values("message")))


def _copied_too_often(since: datetime | None = None) -> Any:
    """After a post without an answer one copy is sent where it does no harm; each other is for a person."""
    requeued = EmailAct.objects.filter(message=OuterRef("pk"), act=EmailAct.Act.REQUEUED)
    copies = _followed(message=OuterRef("pk"), outcome=Outcome.UNKNOWN)
    harmless = Case(When(kind__in=HARMLESS, then=Value(1)), default=Value(0))
    unanswered = _followed(since, outcome=Outcome.UNKNOWN).values("message")
    counted = EmailMessage.objects.filter(pk__in=unanswered).annotate(
        copies=_count(copies, "message"), requeues=_count(requeued, "message")
    )
    return pks(counted.filter(copies__gt=harmless + F("requeues")))


def _count(rows: QuerySet[Any], by: str) -> Coalesce:
    counted = rows.order_by().values(by).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _posted_too_late(since: datetime | None = None) -> Any:
    late = _posts(since).filter(posted_at__gt=F("message__expires_at") + LEASE)
    return pks(EmailMessage.objects.filter(pk__in=late.values("message")))


def _posted_against_a_wish(since: datetime | None = None) -> Any:
    """Posted later than LEASE after the address came on the list, or its owner switched the kind off: what
    was claimed before may still have gone out."""
    before = OuterRef("posted_at") - LEASE
    listed = Suppression.objects.filter(
        Q(lifted_at=None) | Q(lifted_at__gt=OuterRef("posted_at")),
        address=OuterRef("to"),
        began_at__lt=before,
    )
    switched_off = EmailPreference.objects.filter(
        user=OuterRef("message__recipient"),
        choice=OuterRef("message__kind"),
        is_on=False,
        changed_at__lt=before,
    )
    posts = _posts(since).filter(message__is_test=False).annotate(to=Lower("message__to"))
    unwished = posts.filter(to__in=Suppression.objects.values("address")).filter(
        Exists(listed.filter(scope=Suppression.Scope.ALL))
    )
    declined = posts.filter(Exists(listed) | Exists(switched_off), message__kind__in=NOT_ESSENTIAL)
    return pks(
        EmailMessage.objects.filter(
            Q(pk__in=unwished.values("message")) | Q(pk__in=declined.values("message"))
        )
    )


def _sent_without_a_post(since: datetime | None = None) -> Any:
    """Unless a person knows that it arrived."""
    posts = EmailAttempt.objects.filter(message=OuterRef("pk"))
    marked = EmailAct.objects.filter(message=OuterRef("pk"), act=EmailAct.Act.MARKED_SENT)
    sent = EmailMessage.objects.filter(status__in=POSTED, pk__gt=last_before(EmailMessage, since))
    return pks(sent.filter(~Exists(posts), ~Exists(marked)))


def _failed_in_silence(since: datetime | None = None) -> Any:
    """One task asks for all of a kind, and another one if more fail after it was closed."""
    about_its_kind = Concat(
        Value(f"{EmailMessage._meta.label_lower}?kind__exact="),
        OuterRef("kind"),
        Value("&status__exact=failed"),
    )
    asked = StaffTask.objects.filter(kind=EmailTask.EMAIL_FAILED, subject=about_its_kind)
    asked = asked.filter(Q(closed_at=None) | Q(closed_at__gte=OuterRef("created_at")))
    failed = EmailMessage.objects.filter(status=EmailStatus.FAILED, pk__gt=last_before(EmailMessage, since))
    return pks(failed.filter(~Exists(asked)))


def _bounced_in_silence(since: datetime | None = None) -> Any:
    about_it = Concat(Value(f"{EmailMessage._meta.label_lower}:"), Cast(OuterRef("pk"), CharField()))
    asked = StaffTask.objects.filter(kind=EmailTask.EMAIL_BOUNCED, subject=about_it)
    gone = EmailMessage.objects.filter(status__in=[EmailStatus.BOUNCED, EmailStatus.DROPPED])
    return pks(gone.filter(~Exists(asked), pk__gt=last_before(EmailMessage, since)))


def _reminded_after_it_was_paid(since: datetime | None = None) -> Any:
    """By LEASE later: what was claimed before may still have gone out."""
    paid = InstallmentTransition.objects.filter(
        installment=OuterRef("message__fact_id"),
        to_status="paid",
        created_at__lt=OuterRef("posted_at") - LEASE,
    )
    posts = _posts(since).filter(message__kind="installment_reminder", message__is_test=False)
    late = posts.filter(Exists(paid)).order_by().values_list("message", flat=True)
    return late.distinct()


def _unfolded() -> Any:
    return pks(EmailEvent.objects.filter(folded_at=None, received_at__lt=Now() - NOT_FOLDED))


def _posted_in_quarantine() -> Any:
    if not (since := quarantined_since()):
        return []
    posted = EmailAttempt.objects.filter(posted_at__gt=since + LEASE).order_by()
    return posted.values_list("message", flat=True).distinct()


INVARIANTS = [
    Invariant("E4", "emails that are stuck", _stuck),
    Invariant("E4", "failed emails without a staff task", _failed_in_silence, _failed_in_silence),
    Invariant("E4", "undelivered emails without a staff task", _bounced_in_silence, _bounced_in_silence),
    Invariant("E4", "provider events that were not processed", _unfolded),
    Invariant(
        "E5",
        "emails posted again while a post was open or accepted",
        _posted_again_blindly,
        _posted_again_blindly,
    ),
    Invariant("E5", "emails copied more often than allowed", _copied_too_often, _copied_too_often),
    Invariant("E5", "emails that count as sent without a post", _sent_without_a_post, _sent_without_a_post),
    Invariant("E6", "emails posted after they had expired", _posted_too_late, _posted_too_late),
    Invariant(
        "E6", "reminders of paid installments", _reminded_after_it_was_paid, _reminded_after_it_was_paid
    ),
    Invariant(
        "E8",
        "emails sent to suppressed or unsubscribed addresses",
        _posted_against_a_wish,
        _posted_against_a_wish,
    ),
    Invariant("Y3", "emails posted in quarantine", _posted_in_quarantine),
]
