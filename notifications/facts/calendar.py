"""The calendar files of an email (iCalendar, RFC 5545 and 5546): a class in the family's own calendar.

Their content is frozen with the email's other facts; the file is made when the email is sent. One place in a
class is one event with one UID: a weekly series, and a RECURRENCE-ID for each date that is not of the series.
Its SEQUENCE only grows, so a calendar knows the newer file.

Calendars keep single dates that an earlier file moved, and a newer file that no longer mentions them leaves
them there. So each file repeats what happened to every date that an earlier one may have moved.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from icalendar import Calendar, Event, vCalAddress, vText

from billing.models import ClosureLineStatus
from csf import clock
from enrollments.models import (
    Course,
    CourseChange,
    CourseSession,
    Enrollment,
    EnrollmentStatus,
    EnrollmentTransition,
)

Facts = dict[str, Any]
PUBLISH, CANCEL = "PUBLISH", "CANCEL"
NAMES = {PUBLISH: "class.ics", CANCEL: "cancelled.ics"}
WEEK = datetime.timedelta(weeks=1)
STAYS_IN = [EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER, EnrollmentStatus.COMPLETED]


# --- What they say ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlaceState:
    sequence: int
    joined_at: datetime.datetime
    """When the place was paid for or moved to: it includes the sessions after that."""


def place_states(enrollment_ids: Iterable[int]) -> dict[int, PlaceState]:
    """Of each place, in one statement. Each change of the place, each of its sessions that fell out, and each
    move of the class makes the sequence larger."""
    fell_out = Q(closure_lines__status=ClosureLineStatus.DONE, closure_lines__closure__session__isnull=False)
    sequence = (
        Count("transitions", distinct=True)
        + Count("closure_lines", filter=fell_out, distinct=True)
        + Count("course__changes", distinct=True)
    )
    places = Enrollment.objects.filter(pk__in=enrollment_ids)
    rows = places.annotate(sequence=sequence, since=Coalesce(entered_at(), "created_at"))
    return {pk: PlaceState(*state) for pk, *state in rows.values_list("pk", "sequence", "since")}


def entered_at() -> Subquery:
    """When a place became active, or became active again."""
    moves = EnrollmentTransition.objects.filter(enrollment=OuterRef("pk"), to_status=EnrollmentStatus.ACTIVE)
    return Subquery(moves.exclude(from_status__in=STAYS_IN).order_by("-pk").values("created_at")[:1])


def included(enrollment: Enrollment, state: PlaceState | None = None) -> list[CourseSession]:
    """The dated sessions that belong to the place, also those that fell out."""
    state = state or place_states([enrollment.pk])[enrollment.pk]
    return [row for row in enrollment.course.sessions.all() if row.starts_at > state.joined_at]


def calendar_facts(
    enrollment: Enrollment, method: str = PUBLISH, state: PlaceState | None = None
) -> list[Facts]:
    """For the snapshot's `calendars`: the sessions that this place includes, or that it no longer has.

    Nothing for a class without dated sessions. `state` is that of `place_states`, if looked up for many.
    """
    course, child = enrollment.course, enrollment.child
    state = state or place_states([enrollment.pk])[enrollment.pk]
    bought = included(enrollment, state)
    if not bought:
        return []
    place = course.location
    return [
        {
            "method": method,
            "uid": str(enrollment.public_id),
            "sequence": state.sequence,
            "made_at": clock.now().isoformat(timespec="seconds"),
            "title": f"{course.title} ({child.first_name})",
            "place": f"{place.name}, {place.address}" if place.address else place.name,
            "path": course.get_absolute_url(),
            "sessions": [_session_facts(row) for row in bought],
            "moved_before": moved_before(course, joined_at=state.joined_at),
        }
    ]


def _session_facts(row: CourseSession, at: datetime.datetime | None = None) -> Facts:
    """As it is, or as it was at that moment."""
    is_off = row.cancelled_at is not None if at is None else _is_off(row, at)
    return _facts(row.held_on.isoformat(), row.start_time.isoformat(), row.end_time.isoformat(), is_off)


def _facts(on: str, start: str, end: str, is_off: bool) -> Facts:
    return {"on": on, "from": start, "to": end, "is_off": is_off}


# --- What earlier files said --------------------------------------------------------------------------------


def moved_before(course: Course, *, joined_at: datetime.datetime) -> list[str]:
    """The dates that a file since `joined_at` may have moved, as their places in its series (local times).

    A file went out with each move of the class and with each session that fell out, and between two of these
    every file says the same.
    """
    rows, changes = list(course.sessions.all()), list(course.changes.all())
    turns = {change.created_at for change in changes} | {row.cancelled_at for row in rows if row.cancelled_at}
    since = [joined_at, *sorted(turn for turn in turns if turn > joined_at)]
    moved: set[datetime.datetime] = set()
    for at in since[:-1]:
        sessions = [_session(facts) for facts in _as_of(at, rows, changes)]
        moved |= set(_arranged([one for one in sessions if one.starts_at > joined_at]).moved)
    return sorted(start.replace(tzinfo=None).isoformat() for start in moved)


def _as_of(
    at: datetime.datetime, rows: Sequence[CourseSession], changes: Sequence[CourseChange]
) -> list[Facts]:
    """The sessions as the families knew them at that moment."""
    made = [change for change in changes if change.created_at <= at]
    if not changes:
        return [_session_facts(row, at) for row in rows]
    plan, known_at = (
        (made[-1].after, made[-1].created_at) if made else (changes[0].before, changes[0].created_at)
    )
    off = {(row.held_on.isoformat(), row.start_time.isoformat()) for row in rows if _is_off(row, at)}
    known = {
        (one["on"], one["from"]): _facts(one["on"], one["from"], one["to"], (one["on"], one["from"]) in off)
        for one in plan["sessions"]
    }
    # A plan leaves out sessions that were over or cancelled when it was made.
    left_out = [
        _session_facts(row, at) for row in rows if row.starts_at <= known_at or _is_off(row, known_at)
    ]
    return [*known.values(), *(one for one in left_out if (one["on"], one["from"]) not in known)]


def _is_off(row: CourseSession, at: datetime.datetime) -> bool:
    return row.cancelled_at is not None and row.cancelled_at <= at


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


@dataclass(frozen=True, order=True)
class _Session:
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    is_off: bool = False

    @property
    def slot(self) -> tuple[int, datetime.time, datetime.time]:
        """Sessions of one slot are a weekly series."""
        return self.starts_at.weekday(), self.starts_at.time(), self.ends_at.time()

    def at(self, starts_at: datetime.datetime) -> "_Session":
        """One of the same length."""
        end = datetime.datetime.combine(starts_at.date(), self.ends_at.time(), starts_at.tzinfo)
        return _Session(starts_at, end)


@dataclass(frozen=True)
class _Arrangement:
    """Sessions as a calendar can hold them: a weekly series, and dates moved out of it."""

    regular: list[_Session]
    moved: dict[datetime.datetime, _Session] = field(default_factory=dict)
    """By the date of the series that each stands for."""

    @property
    def last(self) -> datetime.datetime:
        return max([self.regular[-1].starts_at, *self.moved])

    @property
    def missing(self) -> list[datetime.datetime]:
        """The weeks that the series leaves out."""
        taken = {session.starts_at for session in self.regular} | self.moved.keys()
        week, weeks = self.regular[0].starts_at, []
        while week <= self.last:  # in local time: the hour stays when the clock changes
            weeks.append(week)
            week += WEEK
        return [week for week in weeks if week not in taken]


def _arranged(sessions: Iterable[_Session]) -> _Arrangement:
    """The longest series holds the class. Each other session takes the place of a free week of it, its own
    week or the next free one; none if nothing takes place."""
    slots: dict[Any, list[_Session]] = defaultdict(list)
    for session in sorted(sessions):
        if not session.is_off:
            slots[session.slot].append(session)
    if not slots:
        return _Arrangement([])
    regular, *others = sorted(slots.values(), key=lambda series: (-len(series), series[0].starts_at))
    first = regular[0].starts_at
    taken = {session.starts_at for session in regular}
    moved = {}
    for session in sorted(session for series in others for session in series):
        week = first + WEEK * max(0, _weeks_between(first, session.starts_at))
        while week in taken:
            week += WEEK
        taken.add(week)
        moved[week] = session
    return _Arrangement(regular, moved)


def _weeks_between(first: datetime.datetime, later: datetime.datetime) -> int:
    mondays = [at.date() - datetime.timedelta(days=at.weekday()) for at in (first, later)]
    return (mondays[1] - mondays[0]).days // 7


def _file(facts: Mapping[str, Any]) -> str:
    sessions = [_session(row) for row in facts["sessions"]]
    earlier = [_local(datetime.datetime.fromisoformat(start)) for start in facts.get("moved_before", [])]
    arranged = _arranged(sessions)
    is_off = facts["method"] == CANCEL or not arranged.regular
    if not arranged.regular:  # nothing takes place any more
        arranged = _arranged(replace(session, is_off=False) for session in sessions)
    calendar = Calendar()
    calendar.add("prodid", f"-//{settings.SCHOOL_NAME}//Classes//EN")
    calendar.add("version", "2.0")
    calendar.add("method", facts["method"])
    for event in _events(facts, arranged, earlier, is_off=is_off):
        calendar.add_component(event)
    years = [start.year for start in (arranged.last, *earlier, *(session.starts_at for session in sessions))]
    # Whole years, with both clock changes; by default it would include all up to the year 2038.
    calendar.add_missing_timezones(
        datetime.date(min(years), 1, 1), datetime.date(max(years), 12, 31) + datetime.timedelta(days=1)
    )
    text: str = calendar.to_ical().decode()
    return text


def _session(row: Mapping[str, Any]) -> _Session:
    starts_at, ends_at = (
        _local(datetime.datetime.fromisoformat(f"{row['on']}T{row[key]}")) for key in ("from", "to")
    )
    return _Session(starts_at, ends_at, row["is_off"])


def _local(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=ZoneInfo(settings.SCHOOL_TIME_ZONE))


def _events(
    facts: Mapping[str, Any], arranged: _Arrangement, earlier: Iterable[datetime.datetime], *, is_off: bool
) -> Iterator[Event]:
    """The series, and then each single date, also those that only an earlier file had moved."""
    yield _series(facts, arranged, is_off)
    for start, session in sorted(arranged.moved.items()):
        yield _single(facts, start, session, is_off)
    regular = {session.starts_at for session in arranged.regular}
    for start in earlier:
        if start not in arranged.moved:
            yield _single(facts, start, arranged.regular[0].at(start), is_off or start not in regular)


def _series(facts: Mapping[str, Any], arranged: _Arrangement, is_off: bool) -> Event:
    first = arranged.regular[0]
    event = _event(facts, first, is_off)
    if arranged.last != first.starts_at:
        # With a time zone at the start, the end of the series is in UTC.
        until = arranged.last.astimezone(datetime.UTC)
        event.add("rrule", {"freq": "weekly", "until": until})
        for starts_at in arranged.missing:
            event.add("exdate", starts_at)
    return event


def _single(facts: Mapping[str, Any], start: datetime.datetime, session: _Session, is_off: bool) -> Event:
    event = _event(facts, session, is_off)
    event.add("recurrence-id", start)
    return event


def _event(facts: Mapping[str, Any], session: _Session, is_off: bool) -> Event:
    event = Event()
    event.add("uid", f"{facts['uid']}@{urlsplit(settings.SITE_URL).hostname}")
    event.add("sequence", facts["sequence"])
    event.add("dtstamp", datetime.datetime.fromisoformat(facts["made_at"]))
    event.add("dtstart", session.starts_at)
    event.add("dtend", session.ends_at)
    event.add("status", "CANCELLED" if is_off else "CONFIRMED")
    event.add("summary", facts["title"])
    event.add("location", facts["place"])
    event.add("url", settings.SITE_URL + facts["path"])
    event.add("organizer", _organizer())
    return event


def _organizer() -> vCalAddress:
    organizer = vCalAddress(f"mailto:{settings.SCHOOL_EMAIL}")
    organizer.params["CN"] = vText(settings.SCHOOL_NAME)
    return organizer
