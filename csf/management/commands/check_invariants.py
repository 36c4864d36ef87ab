import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from csf import clock
from csf.proofs.invariants import Violation, registered, violations
from csf.proofs.nightly import record


class Command(BaseCommand):
    help = "Check for rows that contradict each other. Exit code 1, with their ids, if there are any."
    requires_system_checks = ()  # it only reads; the checks would load the whole site, half of its memory

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object per line")
        extent = parser.add_mutually_exclusive_group()
        extent.add_argument(
            "--full", action="store_true", help="check everything, which is the default; the result is stored"
        )
        extent.add_argument(
            "--since",
            type=_moment,
            metavar="YYYY-MM-DD",
            help="check large tables only for changes since then; the result is not stored",
        )
        extent.add_argument("--list", action="store_true", help="list the invariants without checking them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self.stdout.write("\n".join(f"{rule.number:4} {rule.broken}" for rule in registered()))
            return
        began_at = clock.now()
        found = violations(options["since"])
        if not options["since"]:
            record(found, began_at=began_at)
        self._report(found, as_json=options["json"])
        if found:
            raise CommandError(f"{len(found)} invariants do not hold")

    def _report(self, found: list[Violation], *, as_json: bool) -> None:
        for violation in found:
            self.stdout.write(json.dumps(asdict(violation)) if as_json else str(violation))
        if not found:
            self.stdout.write(json.dumps({"broken": 0}) if as_json else "all invariants hold")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else timezone.make_aware(moment)
