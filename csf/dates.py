"""Business dates are local dates of the school; instants are UTC."""

import datetime
from zoneinfo import ZoneInfo

from django.conf import settings


def local_date(instant: datetime.datetime) -> datetime.date:
    """The school's calendar day of an instant."""
    return instant.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE)).date()


def start_of_day(day: datetime.date) -> datetime.datetime:
    """The instant at which a local date begins at the school."""
    return datetime.datetime.combine(day, datetime.time.min, tzinfo=ZoneInfo(settings.SCHOOL_TIME_ZONE))
