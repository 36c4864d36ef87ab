import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf import clock
from csf.database.backups import back_up, database_text, only_newest, text_of
from csf.refusal import NotPossible


class Command(BaseCommand):
    help = (
        "Write the whole database to a new file that only its owner can read. The file contains private "
        "data. Its encrypted text cannot be read again without FIELD_KEYS."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, or a folder for a file named after the time")
        parser.add_argument("--keep", type=int, help="in a folder: keep only this many of the newest files")

    def handle(self, *args: Any, **options: Any) -> None:
        given: Path = options["file"]
        folder = given if os.path.isdir(given) else None
        keep = options["keep"]
        if keep is not None and (keep < 1 or folder is None):
            raise CommandError("--keep needs a number of 1 or more, and a folder.")
        file = folder / f"{settings.INSTANCE_ID}-{clock.now():%Y%m%dT%H%M%SZ}.dump" if folder else given
        try:
            rows = back_up(file)
        except NotPossible as error:
            raise CommandError(f"No backup was made: {error}") from error
        self.stdout.write(f"{database_text()} is in {file} ({file.stat().st_size:,} bytes):\n{text_of(rows)}")
        if folder and keep:
            deleted = only_newest(folder.glob(f"{settings.INSTANCE_ID}-*.dump"), keep=keep)
            self.stdout.write(f"older backups deleted={deleted}")
