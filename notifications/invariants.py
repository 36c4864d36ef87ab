"""Of emails: what must hold between them, the posts that were made of them and the facts that they tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import (
    BigIntegerField,
    Case,
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
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Lower, Now

from billing.models import CancellationTransition, Credit, Payment, RefundTransition, Transfer
from csf.invariants import Invariant
from csf.models import Instance, StaffTask
from enrollments.models import EnrollmentTransition, User
from notifications.kinds import EmailKind
from notifications.models import (
    FINAL,
    LEASE,
    DrainSignal,
    EmailAct,
    EmailAttempt,
    EmailMessage,
    EmailPreference,
    EmailStatus,
    Suppression,
)
from notifications.purge import EMAIL_DAYS
from notifications.registry import EMAILS
from orders.models import OrderOrigin, OrderTransition

LATE = timedelta(minutes=15)
PURGE_LATE = timedelta(days=2)
Outcome = EmailAttempt.Outcome
HARMLESS = [kind for kind, spec in EMAILS.items() if spec.is_copy_harmless]
SENSITIVE = [kind for kind, spec in EMAILS.items() if spec.is_sensitive]
NOT_ESSENTIAL = [kind for kind, spec in EMAILS.items() if spec.group != "essential"]


@dataclass(frozen=True)
class Fact:
    """What owes one email of a kind. `subject` is what its key names: of several facts about it one is
    told."""

    kind: EmailKind
    owing: QuerySet[Any]
    household: str
    subject: str = "pk"


FACTS = [
    Fact(
        EmailKind.ORDER_CONFIRMATION,
        OrderTransition.objects.filter(to_status="placed").exclude(order__origin=OrderOrigin.WAITLIST),
        "order__household",
        "order",
    ),
    Fact(
        EmailKind.ENROLLMENT_CONFIRMATION,
        EnrollmentTransition.objects.filter(
            from_status__in=["held", "released"], to_status="active", enrollment__course__cancelled_at=None
        ),
        "enrollment__child__household",
        "enrollment",
    ),
    Fact(EmailKind.PAYMENT_SUCCESS, Payment.objects.all(), "order__household"),
    Fact(
        EmailKind.CANCELLATION_CONFIRMATION,
        CancellationTransition.objects.filter(to_status="settled"),
        "cancellation__order__household",
    ),
    Fact(
        EmailKind.REFUND_ISSUED,
        RefundTransition.objects.filter(to_status="succeeded"),
        "refund__order__household",
        "refund",
    ),
    Fact(EmailKind.CREDIT_ADDED, Credit.objects.filter(cause="granted"), "household"),
    Fact(EmailKind.TRANSFER_CONFIRMATION, Transfer.objects.all(), "order__household"),
]


def _emails(**lookups: Any) -> QuerySet[EmailMessage]:
    """None of the tests, which tell no fact."""
    return EmailMessage.objects.filter(is_test=False, **lookups)


def _pks(rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    return rows.order_by("pk").values_list("pk", flat=True)


# --- Facts --------------------------------------------------------------------------------------------------


def _resent_without_a_reason() -> QuerySet[Any, Any]:
    acts = EmailAct.objects.filter(message=OuterRef("pk"), act=EmailAct.Act.RESENT).exclude(reason="")
    resent = EmailMessage.objects.annotate(copies=Count("resends"), reasons=_count(acts, "message"))
    return _pks(resent.filter(copies__gt=F("reasons")))


def _tell_no_fact() -> Iterator[int]:
    for fact in FACTS:
        told = fact.owing.model.objects.filter(pk=OuterRef("fact_id"))
        yield from _pks(_emails(kind=fact.kind).filter(~Exists(told)))


def _tell_another_amount() -> Iterator[int]:
    for kind, model in [(EmailKind.PAYMENT_SUCCESS, Payment), (EmailKind.CREDIT_ADDED, Credit)]:
        cents = model._default_manager.filter(pk=OuterRef("fact_id")).values("amount_cents")
        emails = _emails(kind=kind, context__has_key="amount_cents")
        told = emails.annotate(told=Cast(KT("context__amount_cents"), BigIntegerField()))
        yield from _pks(told.exclude(told=Subquery(cents)))


def _untold_facts() -> Iterator[str]:
    """A family without a guardian has nobody to be told."""
    for fact in FACTS:
        told = fact.owing.model.objects.filter(pk__in=_emails(kind=fact.kind).values("fact_id"))
        untold = fact.owing.exclude(**{f"{fact.subject}__in": told.values(fact.subject)})
        readers = User.objects.filter(household=OuterRef(fact.household))
        yield from (f"{fact.kind}:{pk}" for pk in _pks(untold.filter(Exists(readers))))


def _of_another_family() -> Iterator[int]:
    for fact in FACTS:
        family = fact.owing.model.objects.filter(pk=OuterRef("fact_id")).values(fact.household)
        emails = _emails(kind=fact.kind, recipient__household__isnull=False)
        yield from _pks(emails.exclude(recipient__household=Subquery(family)))


# --- Posts --------------------------------------------------------------------------------------------------


def _stuck() -> QuerySet[Any, Any]:
    """Unless the provider takes nothing, or a person knows already that nothing goes out."""
    blocked = StaffTask.objects.open().filter(kind=StaffTask.Kind.EMAIL_SENDER_BLOCKED)
    if DrainSignal.gate()[0] > 0 or blocked.exists() or Instance.why_quarantined():
        return EmailMessage.objects.none().values_list("pk", flat=True)
    since = Now() - LATE
    decided_at = since - timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
    return _pks(
        EmailMessage.objects.filter(
            Q(status=EmailStatus.QUEUED, next_attempt_at__lt=since)
            | Q(status=EmailStatus.SENDING, leased_until__lt=since)
            | Q(status=EmailStatus.UNKNOWN, posting_at__lt=decided_at)
        )
    )


def _followed(**lookups: Any) -> QuerySet[EmailAttempt]:
    """Posts after which another one was made of the same email."""
    later = EmailAttempt.objects.filter(message=OuterRef("message"), pk__gt=OuterRef("pk"))
    return EmailAttempt.objects.filter(Exists(later), **lookups)


def _posted_again_blindly() -> QuerySet[Any, Any]:
    taken = _followed(outcome__in=[Outcome.OPEN, Outcome.SENT])
    return _pks(EmailMessage.objects.filter(pk__in=taken.values("message")))


def _copied_too_often() -> QuerySet[Any, Any]:
    """After a post without an answer one copy is sent where it does no harm; each other is for a person."""
    released = EmailAct.objects.filter(message=OuterRef("pk"), act=EmailAct.Act.RELEASED)
    copies = _followed(message=OuterRef("pk"), outcome=Outcome.UNKNOWN)
    harmless = Case(When(kind__in=HARMLESS, then=Value(1)), default=Value(0))
    counted = EmailMessage.objects.annotate(
        copies=_count(copies, "message"), releases=_count(released, "message")
    )
    return _pks(counted.filter(copies__gt=harmless + F("releases")))


def _count(rows: QuerySet[Any], by: str) -> Coalesce:
    counted = rows.order_by().values(by).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _posted_too_late() -> QuerySet[Any, Any]:
    late = EmailAttempt.objects.filter(posted_at__gt=F("message__expires_at") + LEASE)
    return _pks(EmailMessage.objects.filter(pk__in=late.values("message")))


def _posted_against_a_wish() -> QuerySet[Any, Any]:
    """By LEASE later than the address came on the list, or its owner switched the kind off: what was claimed
    before may still have gone out."""
    since = OuterRef("posted_at") - LEASE
    listed = Suppression.objects.filter(
        Q(lifted_at=None) | Q(lifted_at__gt=OuterRef("posted_at")), address=OuterRef("to"), began_at__lt=since
    )
    switched_off = EmailPreference.objects.filter(
        user=OuterRef("message__recipient"),
        choice=OuterRef("message__kind"),
        is_on=False,
        changed_at__lt=since,
    )
    posts = EmailAttempt.objects.filter(message__is_test=False).annotate(to=Lower("message__to"))
    unwished = posts.filter(to__in=Suppression.objects.values("address")).filter(
        Exists(listed.filter(scope=Suppression.Scope.ALL))
    )
    declined = posts.filter(Exists(listed) | Exists(switched_off), message__kind__in=NOT_ESSENTIAL)
    return _pks(
        EmailMessage.objects.filter(
            Q(pk__in=unwished.values("message")) | Q(pk__in=declined.values("message"))
        )
    )


# --- What is kept -------------------------------------------------------------------------------------------


def _kept_too_long() -> QuerySet[Any, Any]:
    opens_an_account = Q(kind__in=SENSITIVE) & ~Q(html="", text="")
    is_old = Q(created_at__lt=Now() - timedelta(days=EMAIL_DAYS) - PURGE_LATE) & ~Q(html="", text="")
    return _pks(EmailMessage.objects.filter(~Q(secret="") | opens_an_account | is_old, status__in=FINAL))


INVARIANTS = [
    Invariant("E1", "emails sent once more without a reason", _resent_without_a_reason),
    Invariant("E2", "emails without their fact", _tell_no_fact),
    Invariant("E2", "emails that tell another amount than their fact", _tell_another_amount),
    Invariant("E3", "facts that nobody was told of", _untold_facts),
    Invariant("E4", "emails that are stuck", _stuck),
    Invariant("E5", "emails posted again while a post was open or taken", _posted_again_blindly),
    Invariant("E5", "emails copied more often than agreed", _copied_too_often),
    Invariant("E6", "emails posted after they were worth nothing", _posted_too_late),
    Invariant("E7", "emails to somebody of another family", _of_another_family),
    Invariant("E8", "emails posted to who wants or takes none", _posted_against_a_wish),
    Invariant("P5", "emails whose texts or secrets are kept too long", _kept_too_long),
]
