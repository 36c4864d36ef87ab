"""What is wrong right now, by the thresholds of operation. Words and counts only: no names, no addresses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Min, QuerySet

from billing.models import StripeEvent, StripeEventStatus
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.jobs.queue import waiting_since
from csf.models import StaffTask
from csf.proofs.nightly import troubles
from notifications.alerts.clock_rules import clock_symptoms
from notifications.alerts.disks import disk_symptoms
from notifications.alerts.health import cluster_problems, schedule_problems
from notifications.alerts.job_rules import job_symptoms
from notifications.alerts.rule import Symptom
from notifications.alerts.stripe_rules import stripe_symptoms
from notifications.models import Alert, DrainSignal, EmailAttempt, EmailEvent, EmailMessage, EmailStatus
from notifications.sending import failover
from notifications.task_kinds import EmailTask

WARNING, PAGE = Alert.Level.WARNING, Alert.Level.PAGE
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

QUEUE_TODO = "If this happens often, raise Q_WORKERS or run a second cluster."
LATE_TODO = "Check whether SendGrid is down (status.sendgrid.com), and check the workers on the System page."
UNKNOWN_TODO = "Check the workers on the System page: they decide about such emails every minute."
MUTE_TODO = (
    "Check in SendGrid that its event webhook is on and signed, and compare its key with "
    "SENDGRID_WEBHOOK_PUBLIC_KEY."
)
EVENTS_TODO = "Check whether Stripe is down (status.stripe.com), and check the workers on the System page."
PARKED_TODO = "Open them under Stripe events: each says why, and can be tried again."
PROVIDER_TODO = (
    "Check status.sendgrid.com, and whether this machine can reach api.sendgrid.com. Emails wait in the "
    "meantime."
)
SENDER_TODO = "See what the emails have in common under Email, Email statistics, and in SendGrid's activity."
SPAM_TODO = "See which emails they are under Email, Email statistics, and run manage.py check_deliverability."
ROUTE_TODO = "It ends by itself once SendGrid accepts emails again."
NO_ROUTE_TODO = "Check both providers and EMAIL_FAILOVER: sign-in codes and receipts are waiting."
PROOF_TODO = "Open Operations, Proofs to see the rows. manage.py check_invariants checks again."
# Tasks of staff about what stops more than one email or payment: how bad, what is wrong, what to do.
ASKED = {
    EmailTask.EMAIL_SENDER_BLOCKED: (
        PAGE,
        "SendGrid refuses our emails",
        "If the key was revoked, create a new one there, put it in SENDGRID_API_KEY and restart web and "
        "workers. If the account is suspended, ask SendGrid. Then close the staff task.",
    ),
    EmailTask.EMAIL_FAILED: (
        WARNING,
        "emails could not be sent",
        "Open the staff tasks: each names the kind of email and its error.",
    ),
    MoneyTask.STRIPE_KEY_REFUSED: (
        PAGE,
        "Stripe rejects our secret key, so nothing can be paid",
        "Create a new key in Stripe's dashboard, put it in STRIPE_LIVE_SECRET_KEY (STRIPE_TEST_SECRET_KEY in "
        "test mode) and restart web and workers.",
    ),
}


@dataclass(frozen=True)
class Age:
    name: str
    oldest: Callable[[], datetime | None]
    warn_after: timedelta
    page_after: timedelta
    text: str
    todo: str


@dataclass(frozen=True)
class Rate:
    name: str
    count: Callable[[datetime], int]
    window: timedelta
    warn_share: float
    page_share: float
    at_least: int
    """Fewer than these say nothing about a rate: three emails a day and one that bounces are no 33 %."""
    text: str
    todo: str


def symptoms() -> Iterator[Symptom]:
    """Everything that is wrong; what is worth a call at night is also a warning."""
    now = clock.now()
    yield from _work_stands_still()
    for age in AGES:
        yield from _too_old(age, now)
    for rate in RATES:
        yield from _too_many(rate, now)
    yield from _provider()
    yield from stripe_symptoms(now)
    yield from disk_symptoms()
    yield from clock_symptoms()
    yield from job_symptoms(now)
    if parked := StripeEvent.objects.filter(status=StripeEventStatus.PARKED).count():
        yield Symptom("events_parked", WARNING, f"{parked} Stripe events could not be handled", PARKED_TODO)
    for name, text in troubles(now=now):
        yield Symptom(name, WARNING, text, PROOF_TODO)


def _work_stands_still() -> Iterator[Symptom]:
    for problem in cluster_problems():
        yield Symptom("cluster", PAGE, problem.text, problem.todo, problem.cluster)
    for problem in schedule_problems():
        yield Symptom("schedules", PAGE, problem.text, problem.todo)


def _too_old(age: Age, now: datetime) -> Iterator[Symptom]:
    since = age.oldest()
    for level, limit in ((WARNING, age.warn_after), (PAGE, age.page_after)):
        if since and now - since > limit:
            yield Symptom(age.name, level, f"{age.text} for more than {limit}", age.todo)


def _too_many(rate: Rate, now: datetime) -> Iterator[Symptom]:
    since = now - rate.window
    count = rate.count(since)
    if count < rate.at_least:
        return
    of = EmailAttempt.objects.filter(posted_at__gte=since).values("message").distinct().count()
    for level, share in ((WARNING, rate.warn_share), (PAGE, rate.page_share)):
        if count > of * share:
            yield Symptom(rate.name, level, f"{count} of {of} emails {rate.text} in {rate.window}", rate.todo)


def _provider() -> Iterator[Symptom]:
    _, is_down = DrainSignal.gate()
    if is_down:
        yield Symptom(
            "provider_down",
            PAGE,
            f"SendGrid accepted none of the last {DrainSignal.DOWN_AFTER} posts",
            PROVIDER_TODO,
        )
    for kind, (level, text, todo) in ASKED.items():
        if asked := StaffTask.objects.open().filter(kind=kind).count():
            yield Symptom(kind.value, level, f"{text} ({asked} staff tasks)", todo)
    if failover.is_on():
        yield from _second_route()


def _second_route() -> Iterator[Symptom]:
    lately = EmailAttempt.objects.filter(
        route=EmailAttempt.Route.FAILOVER, posted_at__gte=Now() - 15 * MINUTE
    ).exclude(outcome=EmailAttempt.Outcome.OPEN)
    if used := lately.filter(outcome=EmailAttempt.Outcome.SENT).count():
        yield Symptom(
            "second_route_used",
            WARNING,
            f"{used} emails of the last 15 minutes went through the second provider",
            ROUTE_TODO,
        )
    last = lately.order_by("-pk").first()
    if last and last.outcome in {EmailAttempt.Outcome.NOT_SENT, EmailAttempt.Outcome.UNKNOWN}:
        yield Symptom(
            "second_route_down", PAGE, "the second email provider accepts none either", NO_ROUTE_TODO
        )


def _oldest(rows: QuerySet[Any], field: str) -> datetime | None:
    oldest: datetime | None = rows.aggregate(at=Min(field))["at"]
    return oldest


def _oldest_due() -> datetime | None:
    return _oldest(EmailMessage.objects.due().order_by(), "next_attempt_at")


def _oldest_unknown() -> datetime | None:
    return _oldest(EmailMessage.objects.filter(status=EmailStatus.UNKNOWN), "posting_at")


def _oldest_unheard() -> datetime | None:
    """The first email that SendGrid accepted after the last event it reported."""
    last = EmailEvent.objects.order_by("-pk").values_list("received_at", flat=True).first()
    taken = EmailAttempt.objects.filter(
        outcome=EmailAttempt.Outcome.SENT, route=EmailAttempt.Route.MAIN, posted_at__gte=Now() - DAY
    )
    return _oldest(taken.filter(posted_at__gt=last) if last else taken, "posted_at")


def _oldest_stripe_event() -> datetime | None:
    return _oldest(StripeEvent.objects.filter(status=StripeEventStatus.RECEIVED), "received_at")


def _failed(since: datetime) -> int:
    failed = EmailAttempt.objects.filter(posted_at__gte=since, message__status=EmailStatus.FAILED)
    # What happens to one staff digest must not be the news in the next one.
    return failed.exclude(message__kind="staff_alert").values("message").distinct().count()


def _bounced(since: datetime) -> int:
    return _told_since(since, ["bounce", "dropped"])


def _complained(since: datetime) -> int:
    return _told_since(since, ["spamreport"])


def _told_since(since: datetime, names: list[str]) -> int:
    events = EmailEvent.objects.filter(received_at__gte=since, name__in=names, outbox_id__isnull=False)
    digests = EmailMessage.objects.filter(kind="staff_alert").values("public_id")
    return events.exclude(outbox_id__in=digests).values("outbox_id").distinct().count()


# A sweep decides about unknown emails each minute, once they have waited.
_UNKNOWN_WAIT = timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
AGES = [
    Age("queue", waiting_since, 2 * MINUTE, 5 * MINUTE, "tasks have been waiting in the queue", QUEUE_TODO),
    Age("emails_late", _oldest_due, 5 * MINUTE, 15 * MINUTE, "emails have been overdue", LATE_TODO),
    Age(
        "emails_unknown",
        _oldest_unknown,
        _UNKNOWN_WAIT + 5 * MINUTE,
        _UNKNOWN_WAIT + 15 * MINUTE,
        "emails that may or may not have been sent have been undecided",
        UNKNOWN_TODO,
    ),
    Age(
        "email_events_silent",
        _oldest_unheard,
        30 * MINUTE,
        120 * MINUTE,
        "SendGrid has reported on no email",
        MUTE_TODO,
    ),
    Age(
        "events_late",
        _oldest_stripe_event,
        15 * MINUTE,
        60 * MINUTE,
        "Stripe events have been waiting",
        EVENTS_TODO,
    ),
]
RATES = [
    Rate("failed", _failed, 15 * MINUTE, 0.02, 0.10, 3, "failed", SENDER_TODO),
    Rate("bounced", _bounced, DAY, 0.02, 0.05, 3, "bounced", SENDER_TODO),
    Rate("complained", _complained, DAY, 0.001, 0.003, 1, "were marked as spam", SPAM_TODO),
]
