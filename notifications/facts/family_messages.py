"""What the emails say that staff write to families."""

import re
import textwrap
from functools import lru_cache
from typing import Any

from django.conf import settings

from enrollments.models import User
from notifications.facts.audience import seats
from notifications.facts.recipients import guardians
from notifications.facts.samples import HOSTILE, LONG
from notifications.models.messages import MAX_BODY_LINES, FamilyMessageLine
from notifications.spec import Samples, Snapshot

MAX_CLASSES = 5
TEXT_WIDTH = 72
PREVIEW_LENGTH = 140
_LINK = re.compile(r"""https?://[^\s<>"']+""", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n\s*\n")

Span = dict[str, str]


def snapshot(line: FamilyMessageLine) -> Snapshot:
    return message_facts(line.message.subject, line.message.body, _classes(line))


def message_facts(subject: str, body: str, classes: list[str]) -> Snapshot:
    return {
        "about": subject,
        "preview": body[:PREVIEW_LENGTH],
        "paragraphs": paragraphs(body),
        "classes": classes[:MAX_CLASSES],
        "more_classes": max(len(classes) - MAX_CLASSES, 0),
    }


@lru_cache(maxsize=4)  # the same text for each family
def paragraphs(body: str) -> list[dict[str, Any]]:
    """Of a plain text: each with its lines, made of words and links, and with the narrow lines of a mail."""
    text = body.replace("\r\n", "\n").strip()
    parts = [part.splitlines() for part in _BLANK_LINES.split(text) if part]
    return [
        {"lines": [_spans(line) for line in lines], "text": [row for line in lines for row in _wrapped(line)]}
        for lines in parts
    ]


def _wrapped(line: str) -> list[str]:
    # A link that is broken is no link.
    return textwrap.wrap(line, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)


def _spans(line: str) -> list[Span]:
    spans, end = [], 0
    for found in _LINK.finditer(line):
        link = _without_what_follows(found.group())
        spans += [{"text": line[end : found.start()], "url": ""}, {"text": link, "url": link}]
        end = found.start() + len(link)
    spans.append({"text": line[end:], "url": ""})
    return [span for span in spans if span["text"]]


def _without_what_follows(link: str) -> str:
    """The dot of the sentence, or the bracket around the link, is no part of it."""
    while link[-1] in ".,;:!?" or (link[-1] in ")]" and "([)]".count(link[-1]) and _is_unopened(link)):
        link = link[:-1]
    return link


def _is_unopened(link: str) -> bool:
    opening = {")": "(", "]": "["}[link[-1]]
    return link.count(opening) < link.count(link[-1])


def _classes(line: FamilyMessageLine) -> list[str]:
    """Because of which this family gets it."""
    if hasattr(line, "classes"):
        return line.classes
    own = seats(line.message.audience).filter(child__household=line.household_id)
    return list(dict.fromkeys(own.order_by("pk").values_list("course__title", flat=True)))


def recipients(line: FamilyMessageLine) -> list[User]:
    return line.people if hasattr(line, "people") else guardians(line.household)


def key(line: FamilyMessageLine) -> str:
    return f"message:{line.message_id}:{line.household_id}"


# --- Samples ------------------------------------------------------------------------------------------------

ABOUT = "Bring a towel and warm socks on Saturday"
BODY = f"""The hall is cold this week: please bring a towel and warm socks for the breaks, and a drink.

Here is what else to bring:
{settings.SITE_URL}/classes/robotics-for-beginners/
We open the doors at 9:45.

See you on Saturday!
Your coaches Ann and Bo"""


def _message(about: str = ABOUT, body: str = BODY, *classes: str, first_name: str = "Maria") -> Snapshot:
    return message_facts(about, body, list(classes)) | {"first_name": first_name}


def samples(*classes: str) -> Samples:
    # Hostile words stand on one line here: what staff write on several lines may say anything.
    flat = " ".join(HOSTILE.split())
    return {
        "minimal": _message("News", "No class on Monday.", first_name=""),
        "typical": _message(ABOUT, BODY, *classes),
        "huge": _message(LONG, f"{LONG} & more\n\n" * (MAX_BODY_LINES // 2), *[LONG] * 7, first_name=LONG),
        "hostile": _message(HOSTILE, f"{flat}\n\nBye", HOSTILE, first_name=HOSTILE),
    }
