"""The jobs that charge saved cards, each once a day."""

import datetime

from billing.installments.customers import forget_other_mode
from billing.installments.dunning import start_charges
from billing.models import InstallmentStatus
from csf.jobs.declared import Plan, daily_job
from csf.jobs.report import Report


@daily_job(at="10:00", plan=Plan("Charges", "to be charged", about="billing.installment"))
def charge_due_installments(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Charge the saved cards of the installments that are due."""
    return _charge([InstallmentStatus.SCHEDULED], on=on, dry_run=dry_run)


@daily_job(at="10:00", plan=Plan("Retries", "to be charged again", about="billing.installment"))
def retry_failed_payments(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Retry charges with a soft decline, on their dunning day."""
    return _charge([InstallmentStatus.RETRY_WAIT], on=on, dry_run=dry_run)


def _charge(statuses: list[InstallmentStatus], *, on: datetime.date, dry_run: bool) -> Report:
    if not dry_run:
        forget_other_mode()
    return start_charges(statuses, on=on, dry_run=dry_run)
