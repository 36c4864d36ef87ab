"""What the commands of the daily jobs share: a date, a dry run, one summary line, and no second run a day."""

import datetime
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf import clock
from csf.jobs.report import Report
from csf.jobs.runs import run_job
from csf.money import money_text


class JobCommand(BaseCommand, ABC):
    job: ClassVar[str]

    @abstractmethod
    def work(self, on: datetime.date, *, dry_run: bool) -> Report:
        """Do the job for everything that is due by that local date."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        today = clock.today()
        on = options["date"] or today
        if on > today and not getattr(settings, "STRIPE_API_HOST", ""):
            raise CommandError(f"{on} is still to come: with the real Stripe this would act too early.")
        if options["dry_run"]:
            self._show(self.work(on, dry_run=True))
            return
        run, is_new = run_job(self.job, lambda: self.work(on, dry_run=False), on=on)
        if not is_new:
            self.stdout.write(f"{self.job} {on}: {run.get_status_display()} already, nothing done")
            return
        self.stdout.write(f"{self.job} {on}: {run.summary_line}")

    def _show(self, report: Report) -> None:
        for line in report.planned:
            amount = f": {money_text(line.amount_cents)}" if line.amount_cents else ""
            self.stdout.write(f"  do {line.subject}{amount}")
        for line in report.skipped:
            self.stdout.write(f"  skip {line.subject}: {line.reason}")
        self.stdout.write(f"would do: {report.summary_line}")
