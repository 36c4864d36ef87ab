"""Turns a kind of email and its snapshot into subject, HTML and text, in the language of the installation. No
database, no network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from babel.dates import get_timezone, get_timezone_name
from css_inline import CSSInliner
from django.conf import settings
from django.template import Context, Engine
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy

from billing.models import InstallmentStatus
from csf.language import babel_locale
from csf.templatetags.csf_format import day, time_of_day
from csf.web.maps import map_url
from notifications.kinds import EmailKind
from notifications.palette import ACCENTS, BRAND, DARK, LIGHT
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
    "unknown": gettext_lazy("Card"),
}
# As snapshots have them: on one such day, and each week.
WEEKDAYS = {
    "Monday": (gettext_lazy("Monday"), gettext_lazy("Mondays")),
    "Tuesday": (gettext_lazy("Tuesday"), gettext_lazy("Tuesdays")),
    "Wednesday": (gettext_lazy("Wednesday"), gettext_lazy("Wednesdays")),
    "Thursday": (gettext_lazy("Thursday"), gettext_lazy("Thursdays")),
    "Friday": (gettext_lazy("Friday"), gettext_lazy("Fridays")),
    "Saturday": (gettext_lazy("Saturday"), gettext_lazy("Saturdays")),
    "Sunday": (gettext_lazy("Sunday"), gettext_lazy("Sundays")),
}

MEETS = ("weekday", "start_time", "end_time", "first_on", "last_on")
PART_STATES = dict(InstallmentStatus.choices)

_INLINER = CSSInliner(load_remote_stylesheets=False, minify_css=True)
_CLASSES = re.compile(r' class="[^"]+"')
# Marks that turn the direction of the text after them, and control characters; a name needs neither.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# Without something after the preview text the inbox goes on with the start of the mail.
_FILLER = "\u034f\u200c\u00a0" * 60
_LOOSE_LINES = re.compile(r"\n[ \n]*\n")
# Stands for the spaces of a name until all is put together: no line is broken there.
# Mail programs make a link of a name like `evil.example/login` in a subject; an unseen joiner prevents it.
_HOST = re.compile(r"(\w\.)(?=[^\W\d_]{2})")
_GLUE = "\ue000"
TEXT_WIDTH = 72
_WORDS_OF_A_LINE = re.compile(rf"(.{{1,{TEXT_WIDTH}}}|[^ ]+)(?: +|$)")


@dataclass(frozen=True)
class Rendered:
    subject: str
    html: str
    text: str


def render(kind: EmailKind, context: Mapping[str, Any]) -> Rendered:
    """What the email says now, in the wording of today's templates, about the facts in `context`.

    Raises KeyError or Django's template errors; a missing value that is only shown is left blank.
    """
    with translation.override(settings.LANGUAGE_CODE):
        return _render(kind, context)


def _render(kind: str, context: Mapping[str, Any]) -> Rendered:
    values = _school() | _clean(context)
    values |= _order_values(values) | _class_values(values) | _payment_values(values)
    subject = _subject(_fill(f"{kind}.subject.txt", values, autoescape=False))
    text = _text(_fill(f"{kind}.txt", values, autoescape=False))
    values |= _look(EMAILS[kind].accent) | {"label": EmailKind(kind).label, "subject": subject}
    html = _fill(f"{kind}.html", values, autoescape=True).replace(_GLUE, " ")
    return Rendered(subject=subject, html=_with_styles(html, EMAILS[kind].accent), text=text)


def _with_styles(html: str, accent: str) -> str:
    """Many mail programs know no style sheets. The selectors of `email.css` are single classes, so the style
    of an element depends on nothing else; no value can look like a class, its quotes are escaped."""
    return _CLASSES.sub(lambda found: _with_style(found[0], accent), html)


@lru_cache(maxsize=1024)
def _with_style(classes: str, accent: str) -> str:
    inlined = _INLINER.inline_fragment(f"<p{classes}></p>", _css("email.css", accent))
    return inlined.removeprefix("<p").removesuffix("></p>")


def _fill(template: str, values: dict[str, Any], *, autoescape: bool) -> str:
    # Our filters do the formatting. Django's would take longer for a bare number than for the line around it.
    context = Context(values, autoescape=autoescape, use_l10n=False)
    return _engine(settings.LANGUAGE_CODE).get_template(f"emails/{template}").render(context)


@lru_cache(maxsize=4)
def _engine(language: str) -> Engine:
    """It keeps the templates as they were compiled, which is with the words of this language."""
    libraries = ["csf.templatetags.csf_format", "notifications.templatetags.email_words"]
    return Engine(dirs=Engine.get_default().dirs, builtins=libraries)


def _clean(value: Any) -> Any:
    """Every string on one line, so that no name can add lines of its own to a mail."""
    if isinstance(value, str):
        line = value if value.isprintable() else " ".join(_INVISIBLE.sub("", value).split())
        return line.replace(" ", _GLUE) if len(line) <= TEXT_WIDTH else line
    if isinstance(value, Mapping):
        return {key: _clean(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_clean(part) for part in value]
    return value


def _text(filled: str) -> str:
    """Without the gaps that conditions leave, and in lines of at most 72 letters."""
    loose = _LOOSE_LINES.sub("\n\n", filled).strip() + "\n"
    lines = [line if len(line) <= TEXT_WIDTH else _broken(line) for line in loose.split("\n")]
    return "\n".join(lines).replace(_GLUE, " ")


def _broken(line: str) -> str:
    return "\n".join(_WORDS_OF_A_LINE.findall(line))


def _subject(text: str) -> str:
    line = _HOST.sub("\\1\u2060", " ".join(text.replace(_GLUE, " ").split()))
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 1].rstrip() + "…"


def _school() -> dict[str, Any]:
    return {
        "site_url": settings.SITE_URL,
        "school_name": settings.SCHOOL_NAME,
        "school_address": settings.SCHOOL_ADDRESS,
        "school_phone": settings.SCHOOL_PHONE,
        "school_tel": re.sub(r"[^\d+]", "", settings.SCHOOL_PHONE),
        "school_map": map_url(settings.SCHOOL_NAME, settings.SCHOOL_ADDRESS),
        "tax_number": settings.SCHOOL_TAX_NUMBER,
        "school_email": settings.SCHOOL_EMAIL,
        "language": translation.get_language(),
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
        "time_zone": _zone_text(settings.SCHOOL_TIME_ZONE, babel_locale()),
    }


def _order_values(values: Mapping[str, Any]) -> dict[str, Any]:
    lines, places = values.get("lines", []), values.get("places", [])
    schedule = values.get("schedule", [])
    list_cents = sum(line["list_cents"] for line in lines)
    return {
        "lines": [line | _class_values(line) for line in lines[:MAX_LINES]],
        "more_lines": max(0, len(lines) - MAX_LINES),
        "places": [place | _class_values(place) for place in places[:MAX_LINES]],
        "more_places": max(0, len(places) - MAX_LINES),
        "enrolled": [place | _class_values(place) for place in values.get("enrolled", [])],
        "schedule": [part | {"state": PART_STATES.get(part["status"])} for part in schedule],
        "list_total_cents": list_cents,
        "credit_cents": values.get("credit_cents", 0),  # kept snapshots are older than credit
        "due_cents": values.get("total_cents", 0) - values.get("credit_cents", 0),
        "saved_cents": list_cents - sum(line["net_cents"] for line in lines),
    }


def _class_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """When a class meets, worded once for HTML and text: filters are the dearest part of a line."""
    if "weekday" not in values:
        return {}
    times, days = _times_and_days(settings.LANGUAGE_CODE, *(values[key] for key in MEETS))
    where = {"map_url": _map_url(values)} if "location" in values else {}
    before = {"was": values["was"] | _class_values(values["was"])} if "was" in values else {}
    return {"times": times, "days": days, **where, **before}


def _map_url(values: Mapping[str, Any]) -> str:
    name, address = (str(values[key]).replace(_GLUE, " ") for key in ("location", "address"))
    return map_url(name, address)


@lru_cache(maxsize=1024)
def _times_and_days(
    language: str, weekday: str, start_time: str, end_time: str, first_on: str, last_on: str
) -> tuple[str, str]:
    first, last = (day(date).replace(" ", NBSP) for date in (first_on, last_on))
    hours = f"{time_of_day(start_time)}{TO}{time_of_day(end_time)}"
    once, weekly = WEEKDAYS[weekday]
    if first == last:
        return f"{once}, {hours}", first
    return f"{weekly}, {hours}", f"{first}{TO}{last}"


def _payment_values(values: Mapping[str, Any]) -> dict[str, Any]:
    brand, last4 = values.get("card_brand"), values.get("card_last4")
    name = BRANDS.get(brand, brand.title()) if brand else gettext("Card")
    if last4:
        return {"method": gettext("%(brand)s ending in %(last4)s") % {"brand": name, "last4": last4}}
    return {"method": name if brand else ""}


@lru_cache(maxsize=16)
def _zone_text(zone: str, locale: str) -> str:
    """`America/New_York` as "Eastern Time", the same in summer and winter: a class may run through both."""
    return "UTC" if zone in {"UTC", "Etc/UTC"} else get_timezone_name(get_timezone(zone), locale=locale)


@lru_cache(maxsize=len(ACCENTS))
def _look(accent: str) -> dict[str, Any]:
    """Colours and style sheets, which are the same in all mails of an accent."""
    colours = {"accent": ACCENTS[accent], "brand": BRAND, "light": LIGHT}
    return colours | {"filler": _FILLER, "kept_css": _css("email_head.css", accent)}


def _css(template: str, accent: str) -> str:
    colours = {"accent": ACCENTS[accent], "brand": BRAND, "light": LIGHT, "dark": DARK}
    return _fill(template, colours, autoescape=False)
