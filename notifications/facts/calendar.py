"""The calendar files of an email (iCalendar, RFC 5545 and 5546): a class in the family's own calendar.

What they say is frozen with the email's other facts; the file is made when the email is sent. One place in a
class keeps its UIDs, and its SEQUENCE only grows, so a calendar knows the newer file.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q
from icalendar import Calendar, Event, vCalAddress, vText

from billing.models import ClosureLineStatus
from enrollments.models import Enrollment

Facts = dict[str, Any]
PUBLISH, CANCEL = "PUBLISH", "CANCEL"
NAMES = {PUBLISH: "class.ics", CANCEL: "cancelled.ics"}


# --- What they say ------------------------------------------------------------------------------------------


def calendar_facts(enrollment: Enrollment, method: str = PUBLISH, sequence: int | None = None) -> list[Facts]:
    """For the snapshot's `calendars`: the sessions that this place includes, or that it no longer has.

    Nothing for a class without dated sessions. `sequence` is that of `sequences`, if looked up for many.
    """
    course, child = enrollment.course, enrollment.child
    bought = [session for session in course.sessions.all() if session.starts_at > enrollment.created_at]
    if not bought:
        return []
    place = course.location
    return [
        {
            "method": method,
            "uid": str(enrollment.public_id),
            "sequence": sequences([enrollment.pk])[enrollment.pk] if sequence is None else sequence,
            "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "title": f"{course.title} ({child.first_name})",
            "place": f"{place.name}, {place.address}" if place.address else place.name,
            "path": course.get_absolute_url(),
            "sessions": [
                {
                    "on": session.held_on.isoformat(),
                    "from": session.start_time.isoformat(),
                    "to": session.end_time.isoformat(),
                    "is_off": session.cancelled_at is not None,
                }
                for session in bought
            ],
        }
    ]


def sequences(enrollment_ids: Iterable[int]) -> dict[int, int]:
    """Of each place, in one statement. Each change of the place, each of its sessions that fell out, and each
    move of the class makes it larger."""
    fell_out = Q(closure_lines__status=ClosureLineStatus.DONE, closure_lines__closure__session__isnull=False)
    count = (
        Count("transitions", distinct=True)
        + Count("closure_lines", filter=fell_out, distinct=True)
        + Count("course__changes", distinct=True)
    )
    places = Enrollment.objects.filter(pk__in=enrollment_ids).annotate(sequence=count)
    return dict(places.values_list("pk", "sequence"))


# --- The files ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attachment:
    name: str
    content: str
    mime_type: str


def attachments(context: Mapping[str, Any]) -> list[Attachment]:
    """One file for each calendar of the snapshot; a file has one METHOD."""
    calendars = context.get("calendars", [])
    return [
        Attachment(
            name=_name(facts["method"], sum(other["method"] == facts["method"] for other in calendars[:at])),
            content=_file(facts),
            mime_type=f'text/calendar; charset="utf-8"; method={facts["method"]}',
        )
        for at, facts in enumerate(calendars)
    ]


def _name(method: str, before: int) -> str:
    """class.ics, class-2.ics, ..."""
    name, _, ending = NAMES[method].partition(".")
    return f"{name}-{before + 1}.{ending}" if before else f"{name}.{ending}"


@dataclass(frozen=True)
class _Session:
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    is_off: bool

    @property
    def slot(self) -> tuple[int, datetime.time, datetime.time]:
        """Sessions of one slot are a weekly series."""
        return self.starts_at.weekday(), self.starts_at.time(), self.ends_at.time()


def _file(facts: Mapping[str, Any]) -> str:
    calendar = Calendar()
    calendar.add("prodid", f"-//{settings.SCHOOL_NAME}//Classes//EN")
    calendar.add("version", "2.0")
    calendar.add("method", facts["method"])
    sessions = [_session(row) for row in facts["sessions"]]
    for number, series in enumerate(_series(sessions)):
        calendar.add_component(_event(facts, series, number))
    # Only the changes of the clock in this time: else all up to the year 2038.
    calendar.add_missing_timezones(sessions[0].starts_at.date(), sessions[-1].ends_at.date())
    text: str = calendar.to_ical().decode()
    return text


def _session(row: Mapping[str, Any]) -> _Session:
    day, zone = datetime.date.fromisoformat(row["on"]), ZoneInfo(settings.SCHOOL_TIME_ZONE)
    starts_at, ends_at = (
        datetime.datetime.combine(day, datetime.time.fromisoformat(row[key]), zone) for key in ("from", "to")
    )
    return _Session(starts_at, ends_at, row["is_off"])


def _series(sessions: Iterable[_Session]) -> list[list[_Session]]:
    """The longest first: it has the place's own UID."""
    slots: dict[Any, list[_Session]] = defaultdict(list)
    for session in sessions:
        slots[session.slot].append(session)
    return sorted(slots.values(), key=lambda series: (-len(series), series[0].starts_at))


def _event(facts: Mapping[str, Any], series: list[_Session], number: int) -> Event:
    first, last = series[0], series[-1]
    event = Event()
    event.add("uid", _uid(facts["uid"], first if number else None))
    event.add("sequence", facts["sequence"])
    event.add("dtstamp", datetime.datetime.fromisoformat(facts["made_at"]))
    event.add("dtstart", first.starts_at)
    event.add("dtend", first.ends_at)
    if last is not first:
        # With a time zone at the start, the end of the series is in UTC.
        until = last.starts_at.astimezone(datetime.UTC)
        event.add("rrule", {"freq": "weekly", "until": until})
        for starts_at in _missing(series):
            event.add("exdate", starts_at)
    is_off = facts["method"] == CANCEL or all(session.is_off for session in series)
    event.add("status", "CANCELLED" if is_off else "CONFIRMED")
    event.add("summary", facts["title"])
    event.add("location", facts["place"])
    event.add("url", settings.SITE_URL + facts["path"])
    event.add("organizer", _organizer())
    return event


def _uid(place: str, irregular: _Session | None) -> str:
    slot = f"-{irregular.starts_at:%a%H%M}".lower() if irregular else ""
    return f"{place}{slot}@{urlsplit(settings.SITE_URL).hostname}"


def _missing(series: list[_Session]) -> list[datetime.datetime]:
    """The weeks that the series leaves out, and the sessions that fell out."""
    held = {session.starts_at for session in series if not session.is_off}
    week, weeks = series[0].starts_at, []
    while week <= series[-1].starts_at:  # in local time: the hour stays when the clock changes
        weeks.append(week)
        week += datetime.timedelta(weeks=1)
    return [week for week in weeks if week not in held]


def _organizer() -> vCalAddress:
    organizer = vCalAddress(f"mailto:{settings.SCHOOL_EMAIL}")
    organizer.params["CN"] = vText(settings.SCHOOL_NAME)
    return organizer
