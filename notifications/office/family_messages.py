"""What the emails say that staff write to families."""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any

from csf import clock
from enrollments.models import User
from notifications.facts.recipients import guardians
from notifications.kinds import EmailKind
from notifications.models.messages import FamilyMessageLine
from notifications.office.audience import seats, still_meant
from notifications.spec import EmailSpec, Snapshot

MAX_CLASSES = 5
TEXT_WIDTH = 72
PREVIEW_LENGTH = 140
_LINK = re.compile(r"""https?://[^\s<>"']+""", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n\s*\n")

Span = dict[str, str]


def message_snapshot(line: FamilyMessageLine) -> Snapshot:
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


def _recipients(line: FamilyMessageLine) -> list[User]:
    return line.people if hasattr(line, "people") else guardians(line.household)


def _key(line: FamilyMessageLine) -> str:
    return f"message:{line.message_id}:{line.household_id}"


def _still_meant(facts: Iterable[int]) -> set[int]:
    """A family that has left the class meanwhile is not told; one query for each message in the batch."""
    lines = FamilyMessageLine.objects.filter(pk__in=facts).select_related("message")
    by_message = defaultdict(list)
    for line in lines:
        by_message[line.message].append(line)
    true: set[int] = set()
    for message, own in by_message.items():
        meant = still_meant(message.audience, [line.household_id for line in own])
        true |= {line.pk for line in own if line.household_id in meant}
    return true


def _spec(**options: Any) -> EmailSpec:
    days = options.pop("days")
    return EmailSpec(
        recipients=_recipients,
        snapshot=message_snapshot,
        key=_key,
        accent="blue",
        is_copy_harmless=True,
        expires=lambda line: clock.now() + timedelta(days=days),
        **options,
    )


FAMILY_MESSAGES = {
    EmailKind.CLASS_MESSAGE: _spec(days=3, group="service", still_true=_still_meant),
    EmailKind.NEWSLETTER: _spec(days=7, group="promotional", priority=8),
}
