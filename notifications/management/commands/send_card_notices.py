import datetime

from csf.jobs.command import JobCommand
from csf.jobs.report import Report
from notifications.daily.reminders import send_card_notices


class Command(JobCommand):
    help = "Owe the notices about cards that expire before a payment is due. Safe to repeat."
    job = "send_card_notices"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return send_card_notices(on=on, dry_run=dry_run)
