"""What emails say about the school: its settings, read once."""

import re
from functools import cached_property, lru_cache

from babel.dates import get_timezone, get_timezone_name
from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from csf.language import babel_locale
from csf.web.maps import map_url


class School:
    @cached_property
    def site(self) -> str:
        return settings.SITE_URL

    @cached_property
    def name(self) -> str:
        return settings.SCHOOL_NAME

    @cached_property
    def address(self) -> str:
        return settings.SCHOOL_ADDRESS

    @cached_property
    def phone(self) -> str:
        return settings.SCHOOL_PHONE

    @cached_property
    def email(self) -> str:
        return settings.SCHOOL_EMAIL

    @cached_property
    def tax_number(self) -> str:
        return settings.SCHOOL_TAX_NUMBER

    @cached_property
    def tel(self) -> str:
        """The number as a link dials it."""
        return re.sub(r"[^\d+]", "", settings.SCHOOL_PHONE)

    @cached_property
    def map_url(self) -> str:
        return map_url(settings.SCHOOL_NAME, settings.SCHOOL_ADDRESS)

    @property
    def time_zone(self) -> str:
        return _zone_text(settings.SCHOOL_TIME_ZONE, babel_locale())


SCHOOL = School()


@receiver(setting_changed, dispatch_uid="notifications.rendering.school")
def read_again(**kwargs: object) -> None:
    """Settings change in tests only."""
    vars(SCHOOL).clear()


@lru_cache(maxsize=16)
def _zone_text(zone: str, locale: str) -> str:
    """`America/New_York` as "Eastern Time", the same in summer and winter: a class may run through both."""
    return "UTC" if zone in {"UTC", "Etc/UTC"} else get_timezone_name(get_timezone(zone), locale=locale)
