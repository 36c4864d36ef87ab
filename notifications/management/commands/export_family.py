import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications.family_data.export import export_family
from notifications.family_data.find import family_of


class Command(BaseCommand):
    help = "Write everything stored about a family to a new JSON file. The file contains private data."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("family", help="the family's number, or the email address of a guardian")
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        household = family_of(options["family"])
        if household is None:
            raise CommandError(f"There is no family {options['family']!r}.")
        try:
            with open(options["file"], "x", opener=_for_owner_only) as file:
                size = file.write(export_family(household))
        except OSError as error:
            raise CommandError(f"Cannot write {options['file']}: {error.strerror}.") from error
        self.stdout.write(f"family={household.pk} file={options['file']} characters={size}")


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
