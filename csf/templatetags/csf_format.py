"""How money, days and times are shown, on pages and in emails alike."""

import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time, get_timezone_name
from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext

from csf import clock
from csf.language import babel_locale
from csf.money import money_text

register = template.Library()


@register.filter
def money(cents: int) -> str:
    return money_text(cents)


@register.filter
def day(value: datetime.date | str) -> str:
    """A local date (or its ISO text) as "Sat, Sep 12, 2026"."""
    return _day_text(value if isinstance(value, str) else value.isoformat(), babel_locale())


@register.filter
def time_of_day(value: datetime.time | str) -> str:
    """A local time of day (or its ISO text) as "4:30 PM"."""
    return _clock_text(value if isinstance(value, str) else value.isoformat(), babel_locale())


@register.filter
def moment(value: datetime.datetime | str) -> str:
    """An instant (or its ISO text) as day, time and zone at the school: "Sat, Sep 12, 2026, 4:30 PM EDT"."""
    instant = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return _moment_text(instant, babel_locale())


@register.filter
def until(value: datetime.datetime) -> str:
    """The end of a short wait: "4:54 PM EDT" if that is today at the school, else as `moment`."""
    text = moment(value)
    is_today = timezone.localdate(value, _school_zone()) == clock.today()
    if is_today:
        text = text.removeprefix(f"{day(timezone.localdate(value, _school_zone()))}, ")
    hours, _, zone = text.rpartition("\u00a0")
    return f"{hours} {zone}"  # in large text the zone may go on the next line


@register.filter
def ordinal(number: int) -> str:
    """1 as "1st". A language with one ending translates all four alike."""
    if number % 100 in {11, 12, 13}:
        pattern = gettext("%(number)sth")
    else:
        match number % 10:
            case 1:
                pattern = gettext("%(number)sst")
            case 2:
                pattern = gettext("%(number)snd")
            case 3:
                pattern = gettext("%(number)srd")
            case _:
                pattern = gettext("%(number)sth")
    return pattern % {"number": number}


def _school_zone() -> ZoneInfo:
    return ZoneInfo(settings.SCHOOL_TIME_ZONE)


# An email of ten lines shows the same few values dozens of times, and Babel takes 0.1 ms for each.
@lru_cache(maxsize=4096)
def _day_text(iso: str, locale: str) -> str:
    return format_skeleton("yMMMEd", datetime.date.fromisoformat(iso[:10]), locale=locale)


@lru_cache(maxsize=4096)
def _moment_text(instant: datetime.datetime, locale: str) -> str:
    local = instant.astimezone(_school_zone())
    zone = get_timezone_name(local, width="short", locale=locale)
    return f"{day(local.date())}, {time_of_day(local.time())}\u00a0{zone}"


@lru_cache(maxsize=2048)
def _clock_text(iso: str, locale: str) -> str:
    return format_time(datetime.time.fromisoformat(iso), "short", locale=locale).replace("\u202f", "\u00a0")
