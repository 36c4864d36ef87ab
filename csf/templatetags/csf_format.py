"""How money, days and times are shown, on pages and in emails alike."""

import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time, get_timezone_name
from django import template
from django.conf import settings

from csf.money import money_text

register = template.Library()
LOCALE = "en_US"


@register.filter
def money(cents: int) -> str:
    return money_text(cents)


@register.filter
def day(value: datetime.date | str) -> str:
    """A local date (or its ISO text) as "Sat, Sep 12, 2026"."""
    return _day_text(value if isinstance(value, str) else value.isoformat())


@register.filter
def clock(value: datetime.time | str) -> str:
    """A local time of day (or its ISO text) as "4:30 PM"."""
    return _clock_text(value if isinstance(value, str) else value.isoformat())


@register.filter
def moment(value: datetime.datetime | str) -> str:
    """An instant (or its ISO text) as day, time and zone at the school: "Sat, Sep 12, 2026, 4:30 PM EDT"."""
    return _moment_text(datetime.datetime.fromisoformat(value) if isinstance(value, str) else value)


@register.filter
def ordinal(number: int) -> str:
    """1 as "1st"."""
    teens = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


# A mail of ten lines shows the same few values dozens of times; Babel takes 0.1 ms for each.
@lru_cache(maxsize=4096)
def _day_text(iso: str) -> str:
    return format_skeleton("yMMMEd", datetime.date.fromisoformat(iso[:10]), locale=LOCALE)


@lru_cache(maxsize=4096)
def _moment_text(instant: datetime.datetime) -> str:
    local = instant.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))
    zone = get_timezone_name(local, width="short", locale=LOCALE)
    return f"{day(local.date())}, {clock(local.time())}\u00a0{zone}"


@lru_cache(maxsize=2048)
def _clock_text(iso: str) -> str:
    return format_time(datetime.time.fromisoformat(iso), "short", locale=LOCALE).replace("\u202f", "\u00a0")
