import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf import clock
from notifications.purge import forget_old_data


class Command(BaseCommand):
    help = "Delete or clear data that is no longer needed. Safe to repeat; scheduled every night."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument(
            "--dry-run", action="store_true", help="change nothing, count what would be deleted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        today = clock.today()
        on = options["date"] or today
        if on > today:
            raise CommandError(f"{on} is in the future: recent data would be deleted.")
        counts = forget_old_data(on=on, dry_run=options["dry_run"])
        line = " ".join(f"{name}={count}" for name, count in counts.items())
        self.stdout.write(f"would purge {on}: {line}" if options["dry_run"] else f"purge {on}: {line}")
