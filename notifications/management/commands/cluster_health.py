from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications.watch.alerts import watch
from notifications.watch.health import problems, queue_problems

STANDS_STILL = 3


class Command(BaseCommand):
    help = (
        "Say whether this installation can do its work. Exit code 3 with the reasons if the cluster stands "
        "still (restart it), 1 if a restart would not help."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--clusters", type=int, default=1, help="clusters that run on this database")
        parser.add_argument(
            "--alert", action="store_true", help="also tell new alerts, which a cluster standing still cannot"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        clusters = options["clusters"]
        if options["alert"]:
            watch(clusters=clusters)
        if found := problems(clusters=clusters):
            stands_still = any(queue_problems(clusters))
            raise CommandError("\n".join(found), returncode=STANDS_STILL if stands_still else 1)
        self.stdout.write("healthy")
