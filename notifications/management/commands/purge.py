import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf import clock
from notifications.purge import forget_old_data


class Command(BaseCommand):
    help = "Delete or blank what is too old to be of use. Safe to repeat; the schedule does it each night."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, count what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        today = clock.today()
        on = options["date"] or today
        if on > today:
            raise CommandError(f"{on} is still to come: what is young today would go.")
        counts = forget_old_data(on=on, dry_run=options["dry_run"])
        line = " ".join(f"{name}={count}" for name, count in counts.items())
        self.stdout.write(f"would purge {on}: {line}" if options["dry_run"] else f"purge {on}: {line}")
