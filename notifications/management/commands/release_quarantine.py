from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf.models import Instance
from notifications.quarantine import release_quarantine


class Command(BaseCommand):
    help = (
        "Make this database the one of INSTANCE_ID: emails and charges go out again. Emails that were owed "
        "before the quarantine began are withheld."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--yes", action="store_true", help="no other installation acts for these families"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        why = Instance.why_quarantined()
        if not why:
            raise CommandError("There is no quarantine to release.")
        if not options["yes"]:
            raise CommandError(f"Nothing is sent or charged: {why}. Once released, {_what_follows()}")
        self.stdout.write(f"released {settings.INSTANCE_ID}, emails withheld={release_quarantine()}")


def _what_follows() -> str:
    name = settings.INSTANCE_ID
    if to := settings.STAGING_EMAILS_TO:
        return f"all emails of {name!r} go to {to}, and no order of live mode is charged. Add --yes."
    return f"{name!r} mails and charges real families. Repeat with --yes if no other installation does."
