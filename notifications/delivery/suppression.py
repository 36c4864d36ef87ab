"""Addresses that get no email, or only what is essential: how they get on the list, how the drain uses it,
and how they get off it.

A hard bounce stops everything, a complaint everything that is not essential. Codes that open an account are
stopped like the rest: the page looks the same, so nobody learns which addresses are on the list.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from csf.clock import Now
from csf.models import StaffTask
from csf.state import move_rows
from enrollments.models import User
from notifications.models import EmailAct, EmailEvent, EmailMessage, EmailPreference, EmailStatus, Suppression
from notifications.outbox import kick_drain
from notifications.preferences.rules import provider_resubscribed, provider_unsubscribed, unwanted
from notifications.registry import EMAILS, FIXED_ADDRESS, SENSITIVE
from notifications.task_kinds import EmailTask

Scope, Cause = Suppression.Scope, Suppression.Cause
Report = tuple[EmailEvent, EmailMessage]

CAUSES = {Scope.ALL: Cause.BOUNCED, Scope.NON_ESSENTIAL: Cause.COMPLAINED}
# Why SendGrid drops an email: the address is on a list of its own.
GONE = {"bounced address", "invalid"}
COMPLAINED = "spam reporting address"
UNSUBSCRIBED = "unsubscribed address"
# https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/bounce-and-block-classifications: all but
# "Invalid Address" and "Unclassified".
PASSING_CLASSES = {
    "mailbox unavailable",
    "technical",
    "technical failure",
    "content",
    "reputation",
    "frequency or volume too high",
}
# RFC 3463: temporary, mailbox full, message too long.
PASSING_CODES = re.compile(
    r"(?<![\d.])(4\.\d{1,3}\.\d{1,3}|5\.2\.[23])(?![\d.])|over quota|mailbox (is )?full", re.I
)
CHOOSES = ["unsubscribe", "group_unsubscribe", "group_resubscribe"]
CONFIRMED = "the family entered a code sent there"


# --- On the list --------------------------------------------------------------------------------------------


def suppress_reported(reports: Iterable[Report]) -> None:
    """Put addresses on the list by what the provider reports about emails to them, and record who
    unsubscribed there. Safe to repeat. It is the address that the email went to, even if the family has
    another one now."""
    reports = sorted(reports, key=lambda pair: pair[0].happened_at)
    newest: dict[tuple[str, Suppression.Scope], EmailEvent] = {}
    for event, email in reports:
        if scope := reported_scope(event):
            newest[email.to.lower(), scope] = event
    lifted_at = _lifted_at(address for address, _ in newest)
    Suppression.objects.begin(
        Suppression(address=address, scope=scope, cause=CAUSES[scope], detail=event.detail)
        for (address, scope), event in newest.items()
        if not _is_old(event, lifted_at.get((address, scope)))
    )
    _report_complaints(email for event, email in reports if reported_scope(event) == Scope.NON_ESSENTIAL)
    for event, email in reports:
        if event.name in CHOOSES or _dropped(event) == UNSUBSCRIBED:
            _mirror(event, email)


def reported_scope(event: EmailEvent) -> Suppression.Scope | None:
    """What the event says about the address. A bounce of the type "blocked" may not happen again tomorrow."""
    is_bounce = event.name == "bounce" and event.bounce_type == "bounce"
    if (is_bounce and not _may_pass(event)) or _dropped(event) in GONE:
        return Scope.ALL
    if event.name == "spamreport" or _dropped(event) == COMPLAINED:
        return Scope.NON_ESSENTIAL
    return None


def _may_pass(event: EmailEvent) -> bool:
    """A full mailbox, a message that was too large, a failure of the server or our reputation there: the
    address is right, and its owner must still be able to sign in with a code."""
    return event.bounce_class.lower() in PASSING_CLASSES or bool(PASSING_CODES.search(event.detail))


def _dropped(event: EmailEvent) -> str:
    """Why the provider dropped it; empty if it did not."""
    return event.detail.lower() if event.name == "dropped" else ""


def _lifted_at(addresses: Iterable[str]) -> dict[tuple[str, str], datetime]:
    lifted = Suppression.objects.at(addresses).exclude(lifted_at=None).order_by("lifted_at")
    return {(row.address, row.scope): row.lifted_at for row in lifted if row.lifted_at}


def _is_old(event: EmailEvent, lifted_at: datetime | None) -> bool:
    """What happened before someone lifted it is no news, whenever it comes."""
    return lifted_at is not None and event.happened_at <= lifted_at


def _report_complaints(emails: Iterable[EmailMessage]) -> None:
    about = {}
    for email in emails:
        family = email.recipient.household if email.recipient else None
        about[family or email] = email
    for row, email in sorted(about.items(), key=lambda pair: (pair[0]._meta.label, pair[0].pk)):
        detail = (
            f"{email.get_kind_display()} to {email.to} was marked as spam. From now on the address "
            "gets only essential emails, until you lift this under Email, Suppressed addresses."
        )
        StaffTask.open(EmailTask.EMAIL_COMPLAINED, row, detail)


def _mirror(event: EmailEvent, email: EmailMessage) -> None:
    """Unsubscribed or back, by the last click on the provider's own link; later choices on our pages stay."""
    user = email.recipient
    if user is None:
        return
    theirs = EmailMessage.objects.filter(recipient=user).values("public_id")
    later = EmailEvent.objects.filter(
        outbox_id__in=theirs, name__in=CHOOSES, happened_at__gt=event.happened_at
    )
    chosen = EmailPreference.objects.filter(user=user, changed_at__gt=event.happened_at)
    if later.exists() or chosen.exclude(origin=EmailPreference.Origin.PROVIDER).exists():
        return
    (provider_resubscribed if event.name == "group_resubscribe" else provider_unsubscribed)(user)


# --- At the claim -------------------------------------------------------------------------------------------


def suppressed(rows: Iterable[EmailMessage]) -> dict[int, str]:
    """Those that their address must not get, with the reason; one query."""
    return {pk: found.reason for pk, found in _found(list(rows)).items()}


def keep_back(rows: list[EmailMessage]) -> list[EmailMessage]:
    """The claimed rows that may be sent. The others become SUPPRESSED, and an essential one opens a staff
    task."""
    found = _found(rows)
    reasons = unwanted(rows) | {pk: row.reason for pk, row in found.items()}
    by_reason: dict[str, list[EmailMessage]] = defaultdict(list)
    for row in rows:
        if row.pk in reasons:
            by_reason[reasons[row.pk]].append(row)
    for reason, stopped in by_reason.items():
        claimed = EmailMessage.objects.filter(
            pk__in=[row.pk for row in stopped], leased_until=stopped[0].leased_until
        )
        move_rows(claimed, EmailStatus.SUPPRESSED, error=reason, leased_until=None, claims=0, secret="")
    essential = [row for row in rows if row.pk in found and is_essential(row)]
    for suppression, row in {found[row.pk]: row for row in reversed(essential)}.items():
        detail = (
            f"{row.get_kind_display()} and other essential emails do not go to {suppression.address}: "
            f"{suppression.reason}. Ask the family for a working address."
        )
        StaffTask.open(EmailTask.EMAIL_SUPPRESSED, suppression, detail)
    return [row for row in rows if row.pk not in reasons]


def is_essential(row: EmailMessage) -> bool:
    return EMAILS[row.kind].group == "essential"


def _found(rows: list[EmailMessage]) -> dict[int, Suppression]:
    by_address: dict[str, dict[str, Suppression]] = defaultdict(dict)
    for suppression in Suppression.objects.in_force().at(row.to for row in rows):
        by_address[suppression.address][suppression.scope] = suppression
    found = {}
    for row in rows:
        scopes = by_address.get(row.to.lower(), {})
        partly = None if is_essential(row) else scopes.get(Scope.NON_ESSENTIAL)
        if stopped := scopes.get(Scope.ALL) or partly:
            found[row.pk] = stopped
    return found


# --- Off the list -------------------------------------------------------------------------------------------


def address_confirmed(address: str) -> None:
    """The code was entered, so the address accepts email. People's choices stay."""
    Suppression.objects.at([address]).filter(cause=Cause.BOUNCED).lift(reason=CONFIRMED)


@transaction.atomic
def lift(*, suppression: Suppression, by: User, reason: str, also_send: bool) -> None:
    """Only on our list: SendGrid has one of its own."""
    Suppression.objects.filter(pk=suppression.pk).lift(reason=reason, by=by)
    StaffTask.objects.about(suppression).close(by=by)
    if also_send:
        send_kept_back(suppression=suppression, by=by, reason=reason)


def kept_back(suppression: Suppression) -> QuerySet[EmailMessage]:
    """What it stopped, also before."""
    return EmailMessage.objects.filter(
        status=EmailStatus.SUPPRESSED, to__iexact=suppression.address, error=suppression.reason
    )


def worth_sending(emails: QuerySet[EmailMessage]) -> QuerySet[EmailMessage]:
    """What opened an account is not: its secret is gone."""
    in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
    return emails.filter(in_time).exclude(kind__in=SENSITIVE).exclude(context={})


@transaction.atomic
def send_kept_back(*, suppression: Suppression, by: User, reason: str) -> None:
    """To each person's current address. The drain checks the list again."""
    stopped = worth_sending(kept_back(suppression))
    rows = list(stopped.order_by("pk").select_for_update(no_key=True).only("pk"))
    owner = User.objects.filter(pk=OuterRef("recipient")).values("email")
    move_rows(
        EmailMessage.objects.filter(pk__in=[row.pk for row in rows]),
        EmailStatus.QUEUED,
        next_attempt_at=Now(),
        error="",
        to=Case(When(kind__in=FIXED_ADDRESS, then=F("to")), default=Coalesce(Subquery(owner), F("to"))),
    )
    EmailAct.objects.bulk_create(
        EmailAct(message=row, act=EmailAct.Act.REQUEUED, by=by, reason=reason) for row in rows
    )
    transaction.on_commit(kick_drain, robust=True)
