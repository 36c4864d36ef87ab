from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications.health import problems


class Command(BaseCommand):
    help = "Say whether queue, schedules, webhooks and emails move. Exit code 1 with the reasons if not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--clusters", type=int, default=1, help="clusters that run on this database")

    def handle(self, *args: Any, **options: Any) -> None:
        found = problems(clusters=options["clusters"])
        if found:
            raise CommandError("\n".join(found))
        self.stdout.write("healthy")
