import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf import clock
from csf.jobs.declared import DailyJob, daily_jobs
from csf.jobs.report import Report
from csf.jobs.runs import run_job
from csf.money import money_text


class Command(BaseCommand):
    help = "Do the work of a daily job for everything that is due by a date. Safe to repeat: once for a date."
    job: DailyJob | None = None
    """If its name is the command."""

    def add_arguments(self, parser: CommandParser) -> None:
        if self.job:
            parser.description = f"{self.job.help} Safe to repeat."
            parser.set_defaults(job=self.job.name)
        else:
            parser.add_argument("job", choices=list(daily_jobs()))
        parser.add_argument("--date", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, print what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        job, today = daily_jobs()[options["job"]], clock.today()
        on = options["date"] or today
        if on > today and not getattr(settings, "STRIPE_API_HOST", ""):
            raise CommandError(f"{on} is in the future: with the real Stripe this would act too early.")
        if not options["dry_run"]:
            self._run(job, on)
        elif job.has_dry_run:
            self._show(job.work(on=on, dry_run=True))
        else:
            raise CommandError(f"{job.name} has no dry run.")

    def _run(self, job: DailyJob, on: datetime.date) -> None:
        run, is_new = run_job(job.name, lambda: job.work(on=on), on=on)
        if is_new:
            self.stdout.write(f"{job.name} {on}: {run.summary_line}")
        else:
            self.stdout.write(f"{job.name} {on}: already {run.get_status_display()}, nothing to do")

    def _show(self, report: Report) -> None:
        for line in report.planned:
            amount = f": {money_text(line.amount_cents)}" if line.amount_cents else ""
            self.stdout.write(f"  do {line.subject}{amount}")
        for line in report.skipped:
            self.stdout.write(f"  skip {line.subject}: {line.reason}")
        self.stdout.write(f"would do: {report.summary_line}")
