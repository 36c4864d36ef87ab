from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications.alerts.health import problems
from notifications.alerts.report import watch

RESTART = 3


class Command(BaseCommand):
    help = (
        "Check whether this installation can do its work. Exit code 3, with the reasons, if the worker "
        "on this host is stuck (restart it), 1 if a restart would not help."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alert", action="store_true", help="also report new alerts, which a stuck cluster cannot do"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["alert"]:
            watch()
        if found := problems():
            restart_helps = any(problem.restart_helps for problem in found)
            reasons = "\n".join(problem.text for problem in found)
            raise CommandError(reasons, returncode=RESTART if restart_helps else 1)
        self.stdout.write("healthy")
