"""After the due date, for installments that are no longer charged automatically: ask the parent again.

It follows the days of `settings.DUNNING_DAYS`. A try on such a day has an email of its own, and then this one
is not needed.
"""

import datetime
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Max, Q, QuerySet

from billing.models import ChargeStatus, Installment, InstallmentStatus
from billing.models.charges import ON_STRIPES_PAGES
from csf.jobs.declared import Plan, daily_job
from csf.jobs.report import Report
from notifications.daily.notify_once import notify_once
from notifications.facts.due import OverdueInstallment, in_chunks, why_staff_do_the_talking, with_story

LATEST = timedelta(days=3)
"""A notice for which no job ran is made up for so long, and then left to the next one."""


@daily_job(at="11:00", plan=Plan("Overdue notices", "to be emailed", about="billing.installment"))
def process_overdue_installments(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Queue each overdue notice once; the child keeps the place, whatever the parent does."""
    report = Report()
    for chunk in report.in_time(in_chunks(_overdue(on))):
        notify_once("overdue_notice", _facts(chunk, on=on), report, why_not=_why_not, dry_run=dry_run)
    return report


def _notice_days() -> list[int]:
    return [days for days in settings.DUNNING_DAYS if days > 0]


def _overdue(on: datetime.date) -> QuerySet[Installment]:
    wanted = Q(pk=None)
    for days in _notice_days():
        stage_on = on - timedelta(days=days)
        wanted |= Q(due_on__range=(stage_on - LATEST, stage_on))
    declined = Q(attempts__status__in=[ChargeStatus.DECLINED, ChargeStatus.NEEDS_AUTH])
    on_saved_card = ~Q(attempts__kind__in=ON_STRIPES_PAGES)
    rows = Installment.objects.overdue(on).filter(wanted)
    return with_story(rows).annotate(
        mailed_on=Max("attempts__charged_on", filter=declined & on_saved_card),
    )


def _facts(chunk: list[Installment], *, on: datetime.date) -> Iterator[OverdueInstallment]:
    for installment in chunk:
        stage_days = max(days for days in _notice_days() if installment.due_on + timedelta(days=days) <= on)
        yield OverdueInstallment(installment, on=on, stage_days=stage_days)


def _why_not(fact: OverdueInstallment) -> str:
    installment = fact.installment
    if reason := why_staff_do_the_talking(fact):
        return reason
    if installment.mailed_on and installment.mailed_on >= fact.stage_on:
        return "the email about the failed charge says so"
    match installment.status:
        case InstallmentStatus.CHARGING:
            return "a payment is in progress"
        case InstallmentStatus.RETRY_WAIT:
            return "will be tried again automatically"
        case InstallmentStatus.SCHEDULED:
            return "not tried yet: staff decide"
        case _:
            return ""
