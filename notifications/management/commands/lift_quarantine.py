from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf.models import Instance
from notifications.quarantine import lift_quarantine


class Command(BaseCommand):
    help = (
        "Give this database to INSTANCE_ID, so that emails and charges go out again. Emails queued "
        "before the quarantine began are withheld."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--yes", action="store_true", help="confirm that no other installation acts for these families"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        why = Instance.why_quarantined()
        if not why:
            raise CommandError("There is no quarantine to end.")
        if not options["yes"]:
            raise CommandError(f"Nothing is sent or charged: {why}. Once it is lifted, {_what_follows()}")
        self.stdout.write(f"lifted for {settings.INSTANCE_ID}, emails withheld={lift_quarantine()}")


def _what_follows() -> str:
    name = settings.INSTANCE_ID
    if to := settings.STAGING_EMAILS_TO:
        return f"all emails of {name!r} go to {to}, and no live-mode order is charged. Add --yes."
    return f"{name!r} will email and charge real families. Repeat with --yes if no other installation does."
