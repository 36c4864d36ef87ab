"""Turns a kind of email and its snapshot into subject, HTML and text. No database, no network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from babel.dates import get_timezone, get_timezone_name
from css_inline import CSSInliner
from django.conf import settings
from django.template import Context, Engine

from csf.templatetags.csf_format import clock, day
from notifications.kinds import EmailKind
from notifications.palette import ACCENTS, DARK, LIGHT
from notifications.registry import EMAILS

NBSP = "\u00a0"
TO = f"{NBSP}\N{EN DASH} "
MAX_SUBJECT = 200
MAX_LINES = 60  # Gmail cuts a message off near 102 KB
BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "unknown": "Card",
}

_INLINER = CSSInliner(keep_style_tags=False, load_remote_stylesheets=False, minify_css=True)
# Marks that turn the direction of the text after them, and control characters; a name needs neither.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# Without something after the preview text the inbox goes on with the start of the mail. Entities would cost a
# third of the inliner's time.
_FILLER = "\u034f\u200c\u00a0" * 60
_LOOSE_LINES = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")


@dataclass(frozen=True)
class Rendered:
    subject: str
    html: str
    text: str


def render(kind: EmailKind, context: Mapping[str, Any]) -> Rendered:
    """What the email says now, in the wording of today's templates, about the facts in `context`.

    Raises KeyError or Django's template errors; a missing value that is only shown is left blank.
    """
    values = _school() | _clean(context)
    values |= _order_values(values) | _class_values(values) | _payment_values(values)
    subject = _subject(_fill(f"{kind.value}.subject.txt", values, autoescape=False))
    text = _LOOSE_LINES.sub("\n\n", _fill(f"{kind.value}.txt", values, autoescape=False)).strip() + "\n"
    values |= _look(EMAILS[kind].accent) | {"label": kind.label, "subject": subject}
    html = _fill(f"{kind.value}.html", values, autoescape=True)
    return Rendered(subject=subject, html=_INLINER.inline(html), text=text)


def _fill(template: str, values: dict[str, Any], *, autoescape: bool) -> str:
    # Our filters do the formatting. Django's would take longer for a bare number than for the line around it.
    context = Context(values, autoescape=autoescape, use_l10n=False)
    return Engine.get_default().get_template(f"emails/{template}").render(context)


def _clean(value: Any) -> Any:
    """Every string on one line, so that no name can add lines of its own to a mail."""
    if isinstance(value, str):
        return value if value.isprintable() else " ".join(_INVISIBLE.sub("", value).split())
    if isinstance(value, Mapping):
        return {key: _clean(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_clean(part) for part in value]
    return value


def _subject(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 1].rstrip() + "…"


def _school() -> dict[str, Any]:
    return {
        "site_url": settings.SITE_URL,
        "school_name": settings.SCHOOL_NAME,
        "school_address": settings.SCHOOL_ADDRESS,
        "school_phone": settings.SCHOOL_PHONE,
        "school_email": settings.SCHOOL_EMAIL,
        "time_zone": _zone_text(settings.SCHOOL_TIME_ZONE),
    }


def _order_values(values: Mapping[str, Any]) -> dict[str, Any]:
    lines, places = values.get("lines", []), values.get("places", [])
    list_cents = sum(line["list_cents"] for line in lines)
    return {
        "lines": [line | _class_values(line) for line in lines[:MAX_LINES]],
        "more_lines": max(0, len(lines) - MAX_LINES),
        "places": places[:MAX_LINES],
        "more_places": max(0, len(places) - MAX_LINES),
        "list_total_cents": list_cents,
        "credit_cents": values.get("credit_cents", 0),  # kept snapshots are older than credit
        "due_cents": values.get("total_cents", 0) - values.get("credit_cents", 0),
        "saved_cents": list_cents - sum(line["net_cents"] for line in lines),
    }


def _class_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """When a class meets, worded once for HTML and text: filters are the dearest part of a line."""
    if "weekday" not in values:
        return {}
    first, last = (day(values[key]).replace(" ", NBSP) for key in ("first_on", "last_on"))
    hours = f"{clock(values['start_time'])}{TO}{clock(values['end_time'])}"
    if first == last:
        return {"times": f"{values['weekday']}, {hours}", "days": first}
    return {"times": f"{values['weekday']}s, {hours}", "days": f"{first}{TO}{last}"}


def _payment_values(values: Mapping[str, Any]) -> dict[str, Any]:
    brand, last4 = values.get("card_brand"), values.get("card_last4")
    name = BRANDS.get(brand, brand.title()) if brand else "Card"
    return {"method": f"{name} ending {last4}" if last4 else name if brand else ""}


@lru_cache(maxsize=16)
def _zone_text(zone: str) -> str:
    """`America/New_York` as "Eastern Time", the same in summer and winter: a class may run through both."""
    return "UTC" if zone in {"UTC", "Etc/UTC"} else get_timezone_name(get_timezone(zone), locale="en_US")


@lru_cache(maxsize=len(ACCENTS))
def _look(accent: str) -> dict[str, Any]:
    """Colours and style sheets, which are the same in all mails of an accent."""
    colours = {"accent": ACCENTS[accent], "light": LIGHT, "dark": DARK}
    return colours | {
        "filler": _FILLER,
        "inlined_css": _fill("email.css", colours, autoescape=True),
        "kept_css": _fill("email_head.css", colours, autoescape=True),
    }
