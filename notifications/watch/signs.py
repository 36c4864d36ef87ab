"""What is wrong right now, by the thresholds of operation. Words and counts only: no names, no addresses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Max, Min, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from billing.models import StripeEvent, StripeEventStatus
from csf.dates import local_date
from csf.jobs import JOBS, daily_time, paused, waiting_since
from csf.models import JobRun, StaffTask
from csf.proofs import troubles
from notifications.kinds import EmailKind
from notifications.models import Alert, DrainSignal, EmailAttempt, EmailEvent, EmailMessage, EmailStatus
from notifications.sending import failover
from notifications.watch.health import cluster_problems, schedule_problems

WARNING, PAGE = Alert.Level.WARNING, Alert.Level.PAGE
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
JOB_MAX_LATE = timedelta(hours=1)
QUEUE_TODO = "If this happens often, raise Q_WORKERS or run a second cluster."
# Tasks of staff about what stops more than one email or payment.
ASKED = {
    StaffTask.Kind.EMAIL_SENDER_BLOCKED: PAGE,
    StaffTask.Kind.EMAIL_FAILED: WARNING,
    StaffTask.Kind.STRIPE_KEY_REFUSED: PAGE,
}


@dataclass(frozen=True)
class Sign:
    name: str
    level: Alert.Level
    text: str
    todo: str = ""
    about: str = ""
    """Which one, where there are several: each has an alert of its own."""


@dataclass(frozen=True)
class Age:
    name: str
    oldest: Callable[[], datetime | None]
    warn_after: timedelta
    page_after: timedelta
    text: str
    todo: str = ""


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


def signs() -> Iterator[Sign]:
    """All that is wrong; what is worth a call at night comes as a warning as well."""
    now = timezone.now()
    yield from _work_stands_still()
    for age in AGES:
        yield from _too_old(age, now)
    for rate in RATES:
        yield from _too_many(rate, now)
    yield from _provider()
    if parked := StripeEvent.objects.filter(status=StripeEventStatus.PARKED).count():
        yield Sign("events_parked", WARNING, f"{parked} Stripe events could not be handled")
    if missed := sorted(_missed_jobs(now)):
        yield Sign("jobs_missed", PAGE, f"not done {JOB_MAX_LATE} after its time: {', '.join(missed)}")
    for name, text in troubles(now=now):
        yield Sign(name, WARNING, text)


def _work_stands_still() -> Iterator[Sign]:
    for problem in cluster_problems():
        yield Sign("cluster", PAGE, problem.text, problem.todo, problem.cluster)
    for problem in schedule_problems():
        yield Sign("schedules", PAGE, problem.text, problem.todo)


def _too_old(age: Age, now: datetime) -> Iterator[Sign]:
    since = age.oldest()
    for level, limit in ((WARNING, age.warn_after), (PAGE, age.page_after)):
        if since and now - since > limit:
            yield Sign(age.name, level, f"{age.text} for more than {limit}", age.todo)


def _too_many(rate: Rate, now: datetime) -> Iterator[Sign]:
    since = now - rate.window
    count = rate.count(since)
    if count < rate.at_least:
        return
    of = EmailAttempt.objects.filter(posted_at__gte=since).values("message").distinct().count()
    for level, share in ((WARNING, rate.warn_share), (PAGE, rate.page_share)):
        if count > of * share:
            yield Sign(rate.name, level, f"{count} of {of} emails {rate.text} in {rate.window}")


def _provider() -> Iterator[Sign]:
    _, is_down = DrainSignal.gate()
    if is_down:
        yield Sign("provider_down", PAGE, f"SendGrid took none of the last {DrainSignal.DOWN_AFTER} posts")
    for kind, level in ASKED.items():
        if asked := StaffTask.objects.open().filter(kind=kind).count():
            yield Sign(kind.value, level, f"{kind.label}: {asked} staff tasks are open")
    if failover.is_on():
        yield from _second_route()


def _second_route() -> Iterator[Sign]:
    lately = EmailAttempt.objects.filter(
        route=EmailAttempt.Route.FAILOVER, posted_at__gte=Now() - 15 * MINUTE
    ).exclude(outcome=EmailAttempt.Outcome.OPEN)
    if used := lately.filter(outcome=EmailAttempt.Outcome.SENT).count():
        yield Sign(
            "second_route_used", WARNING, f"{used} emails of the last 15 minutes took the second route"
        )
    last = lately.order_by("-pk").first()
    if last and last.outcome in {EmailAttempt.Outcome.NOT_SENT, EmailAttempt.Outcome.UNKNOWN}:
        yield Sign("second_route_down", PAGE, "the second route for emails takes none either")


def _missed_jobs(now: datetime) -> Iterator[str]:
    """Jobs that keep a run a day, without one for the last time that they were due."""
    done = Q(status=JobRun.Status.DONE)
    runs = (
        JobRun.objects.order_by().values("job").annotate(first_on=Min("on"), done_on=Max("on", filter=done))
    )
    idle = paused()
    for job, first_on, done_on in runs.values_list("job", "first_on", "done_on"):
        if job in JOBS and job not in idle:
            due_on = _last_due_on(daily_time(job), now)
            if first_on <= due_on and (done_on is None or done_on < due_on):
                yield job


def _last_due_on(at: time, now: datetime) -> date:
    today = local_date(now)
    due_at = datetime.combine(today, at, tzinfo=ZoneInfo(settings.SCHOOL_TIME_ZONE))
    return today if now > due_at + JOB_MAX_LATE else today - DAY


def _oldest(rows: QuerySet[Any], field: str) -> datetime | None:
    oldest: datetime | None = rows.aggregate(at=Min(field))["at"]
    return oldest


def _oldest_due() -> datetime | None:
    return _oldest(EmailMessage.objects.due().order_by(), "next_attempt_at")


def _oldest_unknown() -> datetime | None:
    return _oldest(EmailMessage.objects.filter(status=EmailStatus.UNKNOWN), "posting_at")


def _oldest_unheard() -> datetime | None:
    """The first email that SendGrid took after the last event it told."""
    last = EmailEvent.objects.order_by("-pk").values_list("received_at", flat=True).first()
    taken = EmailAttempt.objects.filter(
        outcome=EmailAttempt.Outcome.SENT, route=EmailAttempt.Route.MAIN, posted_at__gte=Now() - DAY
    )
    return _oldest(taken.filter(posted_at__gt=last) if last else taken, "posted_at")


def _oldest_stripe_event() -> datetime | None:
    return _oldest(StripeEvent.objects.filter(status=StripeEventStatus.RECEIVED), "received_at")


def _failed(since: datetime) -> int:
    failed = EmailAttempt.objects.filter(posted_at__gte=since, message__status=EmailStatus.FAILED)
    # What becomes of the digest for staff must not be the news of the next one.
    return failed.exclude(message__kind=EmailKind.STAFF_ALERT).values("message").distinct().count()


def _bounced(since: datetime) -> int:
    return _told_since(since, ["bounce", "dropped"])


def _complained(since: datetime) -> int:
    return _told_since(since, ["spamreport"])


def _told_since(since: datetime, names: list[str]) -> int:
    events = EmailEvent.objects.filter(received_at__gte=since, name__in=names, outbox_id__isnull=False)
    digests = EmailMessage.objects.filter(kind=EmailKind.STAFF_ALERT).values("public_id")
    return events.exclude(outbox_id__in=digests).values("outbox_id").distinct().count()


# A sweep decides about unknown emails each minute, once they have waited.
_UNKNOWN_WAIT = timedelta(seconds=settings.EMAIL_UNKNOWN_WAIT_S)
AGES = [
    Age("queue", waiting_since, 2 * MINUTE, 5 * MINUTE, "tasks wait in the queue", QUEUE_TODO),
    Age("emails_late", _oldest_due, 5 * MINUTE, 15 * MINUTE, "emails are overdue"),
    Age(
        "emails_unknown",
        _oldest_unknown,
        _UNKNOWN_WAIT + 5 * MINUTE,
        _UNKNOWN_WAIT + 15 * MINUTE,
        "nobody decided about emails that may or may not have been sent",
    ),
    Age("email_events_silent", _oldest_unheard, 30 * MINUTE, 120 * MINUTE, "SendGrid tells of no email"),
    Age("events_late", _oldest_stripe_event, 15 * MINUTE, 60 * MINUTE, "Stripe events wait"),
]
RATES = [
    Rate("failed", _failed, 15 * MINUTE, 0.02, 0.10, 3, "failed"),
    Rate("bounced", _bounced, DAY, 0.02, 0.05, 3, "bounced"),
    Rate("complained", _complained, DAY, 0.001, 0.003, 1, "were called spam"),
]
