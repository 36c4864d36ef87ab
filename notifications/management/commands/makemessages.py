"""Django's command, which also finds the words in the Jinja templates of emails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.commands import makemessages
from jinja2 import Environment
from jinja2.ext import extract_from_ast

Message = str | tuple[str | None, ...]


class BuildFile(makemessages.BuildFile):
    def preprocess(self) -> None:
        if not self.path.endswith(".jinja"):
            super().preprocess()
            return
        Path(self.work_path).write_text(as_python(Path(self.path).read_text()))


class Command(makemessages.Command):
    build_file_class = BuildFile

    def handle(self, *args: Any, **options: Any) -> None:
        options["extensions"] = options["extensions"] or ["html", "txt", "py", "jinja"]
        super().handle(*args, **options)


def as_python(source: str) -> str:
    """Calls of gettext with the words of a template, each in its line."""
    lines = [""] * (source.count("\n") + 1)
    for number, message in messages_of(source):
        words = [message] if isinstance(message, str) else [form for form in message if form]
        lines[number - 1] += (
            f"{'gettext' if len(words) == 1 else 'ngettext'}({', '.join(map(repr, words))}); "
        )
    return "\n".join(lines)


def messages_of(source: str) -> Iterator[tuple[int, Message]]:
    parser = Environment(extensions=["jinja2.ext.i18n"])  # noqa: S701 - only parses
    parser.policies["ext.i18n.trimmed"] = True
    parser.newstyle_gettext = True  # type: ignore[attr-defined]
    for number, _, message in extract_from_ast(parser.parse(source)):
        if message is not None:
            yield number, message
