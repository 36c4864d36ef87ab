import datetime

from csf.jobs.command import JobCommand
from csf.jobs.report import Report
from notifications.daily.class_reminders import send_class_reminders


class Command(JobCommand):
    help = "Owe the reminders of classes that start soon. Safe to repeat."
    job = "send_class_reminders"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return send_class_reminders(on=on, dry_run=dry_run)
