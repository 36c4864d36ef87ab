from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing import gateway
from billing.reconcile import pull_events, settle_finished_pages


class Command(BaseCommand):
    help = "Pull events that no webhook brought and settle finished payment pages. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=int, default=72, help="how far back to look")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["hours"] <= 30 * 24:
            raise CommandError("--hours must be from 1 to 720: Stripe keeps its events for 30 days.")
        now = timezone.now()
        try:
            events = pull_events(since=now - timedelta(hours=options["hours"]))
        except (gateway.Refused, gateway.OutcomeUnknown) as error:
            raise CommandError(f"Stripe did not give its events: {error}") from error
        self.stdout.write(f"events={events} pages={settle_finished_pages(now=now)}")
