import datetime

from csf.jobs.command import JobCommand
from csf.jobs.report import Report
from notifications.daily.reminders import send_installment_reminders


class Command(JobCommand):
    help = "Owe the reminders of installments that are due soon. Safe to repeat."
    job = "send_installment_reminders"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return send_installment_reminders(on=on, dry_run=dry_run)
