import datetime

from billing.changes.class_end import complete_ended_classes
from csf.jobs.command import JobCommand
from csf.jobs.report import Report


class Command(JobCommand):
    help = "Close the waitlists of classes that have ended, and complete places and orders. Safe to repeat."
    job = "complete_ended_classes"

    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        return complete_ended_classes(on=on, dry_run=dry_run)
