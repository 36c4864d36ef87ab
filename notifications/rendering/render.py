"""Turns a kind of email and its snapshot into subject, HTML and text, in the language of the installation. No
database, no network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import translation

from notifications.registry import EMAILS
from notifications.rendering.jinja import Way, environment
from notifications.rendering.styles import look
from notifications.rendering.words import GLUE, TEXT_WIDTH, ready
from notifications.spec import Email

MAX_SUBJECT = 200
FILES = {"calendars"}  # large, and no words: a template only asks whether there are any
FOOTER = {"preferences_path": "", "unsubscribe_path": ""}  # not every reader gets these links

_LOOSE_LINES = re.compile(r"\n[ \n]*\n")
# Mail programs turn a name like `evil.example/login` in a subject into a link; an invisible joiner prevents
# it.
_HOST = re.compile(r"(\w\.)(?=[^\W\d_]{2})")
_WORDS_OF_A_LINE = re.compile(rf"(.{{1,{TEXT_WIDTH}}}|[^ ]+)(?: +|$)")


@dataclass(frozen=True)
class Rendered:
    subject: str
    html: str
    text: str


def render(kind: str, facts: Mapping[str, Any]) -> Rendered:
    """Render the email about these facts, in the wording of today's template.

    Raises KeyError or Jinja's template errors, also for a fact that the template needs and is not there.
    """
    with translation.override(settings.LANGUAGE_CODE):
        return _render(EMAILS[kind], facts)


def _render(email: Email, facts: Mapping[str, Any]) -> Rendered:
    named = {name: value for name, value in facts.items() if name not in FILES}
    values = FOOTER | {name: facts.get(name) for name in FILES} | ready(named)
    values["facts"] = values  # for the components that show many of them
    subject = _subject(_filled("subject", email.kind, values))
    text = _text(_filled("txt", email.kind, values))
    values |= look(email.accent) | {"subject": subject, "label": _label(email.kind, settings.LANGUAGE_CODE)}
    html = _filled("html", email.kind, values)
    return Rendered(subject=subject, html=html.replace(GLUE, " "), text=text)


@lru_cache(maxsize=256)
def _label(kind: str, language: str) -> str:
    return str(EMAILS[kind].title)


def _filled(way: Way, kind: str, values: dict[str, Any]) -> str:
    return environment(way, settings.LANGUAGE_CODE).get_template(f"{kind}.jinja").render(values)


def _text(filled: str) -> str:
    """Without the gaps that conditions leave, and in lines of at most 72 letters."""
    loose = _LOOSE_LINES.sub("\n\n", filled).strip() + "\n"
    lines = [line if len(line) <= TEXT_WIDTH else _broken(line) for line in loose.split("\n")]
    return "\n".join(lines).replace(GLUE, " ")


def _broken(line: str) -> str:
    return "\n".join(_WORDS_OF_A_LINE.findall(line))


def _subject(text: str) -> str:
    line = _HOST.sub("\\1\u2060", " ".join(text.replace(GLUE, " ").split()))
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 1].rstrip() + "…"
