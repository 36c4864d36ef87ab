from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.events.reconcile import pull_events, settle_finished_pages
from billing.events.stripe_books import compare_day, compare_open, days_to_compare, why_not_compared
from billing.models import BookDifference
from billing.stripe import gateway
from csf import clock

NO_END_S = 24 * 3600.0  # nothing ends a command but its operator


class Command(BaseCommand):
    help = (
        "Fetch events that no webhook delivered, settle finished payment pages, and with --books compare "
        "our books with Stripe's, both ways. Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=int, default=72, help="how far back to look for events")
        parser.add_argument(
            "--books",
            choices=["recent", "all"],
            help="compare the last week and every day not compared yet, or all days",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["hours"] <= 30 * 24:
            raise CommandError("--hours must be from 1 to 720: Stripe keeps its events for 30 days.")
        now = clock.now()
        try:
            since = now - timedelta(hours=options["hours"])
            events = pull_events(since=since, seconds=NO_END_S).new
        except (gateway.StripeRefused, gateway.OutcomeUnknown) as error:
            raise CommandError(f"Could not fetch events from Stripe: {error}") from error
        self.stdout.write(f"events={events} pages={settle_finished_pages(now=now)}")
        if options["books"]:
            self._compare(everything=options["books"] == "all")

    def _compare(self, *, everything: bool) -> None:
        if why := why_not_compared():
            raise CommandError(f"Books were not compared: {why}.")
        days = days_to_compare(on=clock.today(), everything=everything)
        unanswered = sum(not compare_day(day, budget_s=NO_END_S) for day in days) + compare_open()
        found = list(BookDifference.objects.open().select_related("household"))
        for difference in found:
            self.stdout.write(difference.detail)
        self.stdout.write(f"days={len(days)} unanswered={unanswered} differences={len(found)}")
        if found:
            raise CommandError("Our books and Stripe's differ. Each difference has a staff task.")
