import datetime

from csf.jobs.command import JobCommand
from csf.jobs.report import Report
from notifications.daily.overdue import process_overdue_installments


class Command(JobCommand):
    help = "Owe the notices about installments that are overdue. Safe to repeat."
    job = "process_overdue_installments"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return process_overdue_installments(on=on, dry_run=dry_run)
