from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf.database.backups import database_text, restore, text_of
from csf.models import Instance
from csf.refusal import NotPossible

NEXT = """Nothing is sent or charged: {why}.
Next: manage.py prepare, then the steps of "Back up and restore" in docs/operations.md."""


class Command(BaseCommand):
    help = "Fill the empty database of DATABASE_URL from a backup. It comes up in quarantine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = restore(options["file"])
        except NotPossible as error:
            raise CommandError(f"Nothing was restored: {error}") from error
        self.stdout.write(f"{database_text()} was filled from {options['file']}:\n{text_of(rows)}")
        self.stdout.write(NEXT.format(why=Instance.why_quarantined()))
