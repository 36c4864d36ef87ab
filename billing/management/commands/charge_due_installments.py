import datetime

from billing.installments.dunning import start_charges
from billing.models import InstallmentStatus
from csf.jobs.command import JobCommand
from csf.jobs.report import Report


class Command(JobCommand):
    help = "Charge the saved cards of the installments that are due. Safe to repeat."
    job = "charge_due_installments"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return start_charges([InstallmentStatus.SCHEDULED], on=on, dry_run=dry_run)
