"""A place's calendar file, read back, and the starts that it shows."""

import datetime

from dateutil.rrule import rrulestr
from icalendar import Calendar

from notifications.facts.calendar import attachments


def facts(days, **changes):
    off = changes.pop("off", [])
    sessions = [
        {"on": on, "from": start, "to": "17:15:00", "is_off": on in off}
        for on, start in ((day if isinstance(day, tuple) else (day, "16:30:00")) for day in days)
    ]
    known = {
        "method": "PUBLISH",
        "uid": "6f1b",
        "sequence": 1,
        "made_at": "2026-08-29T21:07:41+00:00",
        "title": "Swimming; Level 2, and\nBEGIN:VALARM (Noah)",
        "place": "Pool, 3 Quay Road",
        "path": "/classes/swimming/",
        "sessions": sessions,
    }
    return known | changes


def parsed(known):
    (file,) = attachments({"calendars": [known]})
    assert file.mime_type == f'text/calendar; charset="utf-8"; method={known["method"]}'
    assert all(len(line.encode()) <= 75 for line in file.content.split("\r\n"))
    return Calendar.from_ical(file.content)


def starts(event):
    """When it takes place, as RFC 5545 says: the rule in local time, without the exceptions."""
    first = event["dtstart"].dt
    if "rrule" not in event:
        return [first]
    exceptions = event.get("exdate", [])
    exceptions = exceptions if isinstance(exceptions, list) else [exceptions]
    out = {value.dt.replace(tzinfo=None) for group in exceptions for value in group.dts}
    until = event["rrule"]["until"][0].astimezone(first.tzinfo).replace(tzinfo=None)
    weekly = rrulestr("FREQ=WEEKLY", dtstart=first.replace(tzinfo=None)).between(
        first.replace(tzinfo=None), until, inc=True
    )
    return [moment.replace(tzinfo=first.tzinfo) for moment in weekly if moment not in out]


def weeks(first, count, leaving=()):
    day = datetime.date.fromisoformat(first)
    days = [(day + datetime.timedelta(weeks=week)).isoformat() for week in range(count)]
    return [one for one in days if one not in leaving]
