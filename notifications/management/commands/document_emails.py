"""Writes the table of all kinds in docs/emails.md, from `notifications/emails/`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from notifications.registry import EMAILS
from notifications.spec import Email

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "emails.md"
HEAD = "| Kind | When | Key | Copy | Expires |\n| --- | --- | --- | --- | --- |\n"


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(with_table(text))
        self.stdout.write(f"kinds={len(EMAILS)} changed={int(DOCUMENT.read_text() != text)}")


def with_table(text: str) -> str:
    before, _, rest = text.partition(HEAD)
    _, _, after = rest.partition("\n\n")
    return before + HEAD + "\n".join(map(_row, EMAILS.values())) + "\n\n" + after


def _row(email: Email) -> str:
    copy, ends = "yes" if email.is_copy_harmless else "no", " ".join((email.expires.__doc__ or "").split())
    return f"| `{email.kind}` | {email.when} | `{email.key(Named())}` | {copy} | {ends} |"


class Named:
    """Stands for any fact: each field is its own name, so a key shows what it is made of."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def __getattr__(self, name: str) -> "Named":
        return Named(f"{self.path}.{name}".strip("."))

    def __str__(self) -> str:
        return f"<{self.path}>"
