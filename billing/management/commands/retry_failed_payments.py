import datetime

from billing.installments.dunning import start_charges
from billing.models import InstallmentStatus
from csf.jobs.command import JobCommand
from csf.jobs.report import Report


class Command(JobCommand):
    help = "Charge again what a bank declined softly, on its dunning day. Safe to repeat."
    job = "retry_failed_payments"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return start_charges([InstallmentStatus.RETRY_WAIT], on=on, dry_run=dry_run)
