import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf.invariants import violations


class Command(BaseCommand):
    help = "Look for rows that contradict each other. Exit code 1 and their ids if there are any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        found = violations()
        for violation in found:
            self.stdout.write(json.dumps(asdict(violation)) if options["json"] else str(violation))
        if found:
            raise CommandError(f"{len(found)} invariants are broken")
        self.stdout.write("all invariants hold" if not options["json"] else json.dumps({"broken": 0}))
