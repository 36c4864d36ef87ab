import datetime

from billing.ledger.credits import expire_credits
from csf.jobs.command import JobCommand
from csf.jobs.report import Report


class Command(JobCommand):
    help = "End the credit of families whose last day is past. Safe to repeat."
    job = "expire_credits"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return expire_credits(on=on, dry_run=dry_run)
