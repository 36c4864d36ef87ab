"""Calendar programs that read one file after the other, over any sequence of changes."""

import datetime
from dataclasses import dataclass
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import hypothesis
import pytest
import vobject
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from icalendar import Calendar

from billing.changes.cancellation import cancel_enrollment
from billing.changes.class_closure import close_session, preview_session, process_closures
from enrollments.classes.changes import NotConfirmed, change_course
from enrollments.models import Course, CourseChange, CourseSession, Enrollment
from notifications.facts.calendar import PlaceState, attachments, calendar_facts
from notifications.models import EmailMessage
from tests.factories import create_course, create_order, create_staff
from tests.notifications.facts.calendar_files import starts


@dataclass(frozen=True)
class Component:
    uid: str
    stands_for: datetime.datetime | None
    sequence: int
    is_on: bool
    length: datetime.timedelta
    dates: tuple[datetime.datetime, ...]


def by_icalendar(text):
    for event in Calendar.from_ical(text).walk("VEVENT"):
        exceptions = event.get("exdate", [])
        for group in exceptions if isinstance(exceptions, list) else [exceptions]:
            assert event["dtstart"].dt not in {value.dt for value in group.dts}
        yield Component(
            str(event["uid"]),
            event["recurrence-id"].dt if "recurrence-id" in event else None,
            int(event["sequence"]),
            event["status"] == "CONFIRMED",
            event["dtend"].dt - event["dtstart"].dt,
            tuple(starts(event)),
        )


def by_vobject(text):
    vars(vobject.icalendar)["__tzidMap"].pop(settings.SCHOOL_TIME_ZONE, None)  # it keeps the first one
    for event in vobject.readOne(text).vevent_list:
        single = event.contents.get("recurrence-id")
        repeats = "rrule" in event.contents
        yield Component(
            event.uid.value,
            single[0].value if single else None,
            int(event.sequence.value),
            event.status.value == "CONFIRMED",
            event.dtend.value - event.dtstart.value,
            tuple(event.getrruleset(addRDate=True)) if repeats else (event.dtstart.value,),
        )


class CalendarProgram:
    """Takes the files in turn. A careful one keeps what a newer file does not mention; a simple one does
    not."""

    def __init__(self, read, *, forgets):
        self.read, self.forgets = read, forgets
        self.known = {}
        self.sequence = -1

    def take(self, text):
        components = list(self.read(text))
        assert len({(one.uid, one.stands_for) for one in components}) == len(components)
        (sequence,) = {one.sequence for one in components}
        assert sequence > self.sequence
        self.sequence = sequence
        if self.forgets:
            self.known = {}
        self.known |= {(one.uid, one.stands_for): one for one in components}

    def shown(self):
        """Start and end of all that takes place, in UTC."""
        singles = {stands_for for _, stands_for in self.known if stands_for}
        found = []
        for one in self.known.values():
            dates = [] if not one.is_on else one.dates
            if one.stands_for is None:
                dates = [date for date in dates if date not in singles]
            found += [(date, date + one.length) for date in dates]
        return sorted((start.astimezone(datetime.UTC), end.astimezone(datetime.UTC)) for start, end in found)


def in_utc(rows):
    """What takes place of these sessions."""
    zone = ZoneInfo(settings.SCHOOL_TIME_ZONE)
    return sorted(
        tuple(
            datetime.datetime.combine(row.held_on, time, zone).astimezone(datetime.UTC)
            for time in (row.start_time, row.end_time)
        )
        for row in rows
        if row.cancelled_at is None
    )


def programs():
    return [
        CalendarProgram(read, forgets=forgets)
        for read in (by_icalendar, by_vobject)
        for forgets in (True, False)
    ]


class Rows(list):
    all = list.copy


class PaperClass:
    """A class of ten sessions with one place in it, on paper: what changes it, and the file after that."""

    def __init__(self):
        self.now = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)
        self.joined_at = self.now
        first_on = datetime.date(2026, 9, 16)
        self.sessions, self.changes, self.turns = Rows(), Rows(), 0
        for week in range(6):
            self.add(first_on + week * datetime.timedelta(weeks=1), 16)

    def add(self, held_on, hour):
        start, end = datetime.time(hour, 30), datetime.time(hour + 1, 15)
        if not any((row.held_on, row.start_time) == (held_on, start) for row in self.sessions):
            self.sessions.append(CourseSession(held_on=held_on, start_time=start, end_time=end))
            self.sessions.sort(key=lambda row: (row.held_on, row.start_time))

    def plan(self):
        to_come = [row for row in self.sessions if row.starts_at > self.now and not row.cancelled_at]
        shown = ("held_on", "start_time", "end_time")
        rows = [[getattr(row, name).isoformat() for name in shown] for row in to_come]
        return {"sessions": [dict(zip(("on", "from", "to"), row, strict=True)) for row in rows]}

    def turn(self, name, which, days, hour):
        self.now += datetime.timedelta(days=3)
        self.turns += 1
        to_come = [row for row in self.sessions if row.starts_at > self.now and not row.cancelled_at]
        row = to_come[which % len(to_come)] if to_come else None
        if row and name == "cancel":
            row.cancelled_at = self.now
            return
        before = self.plan()
        if row and name in {"move", "remove"}:
            self.sessions.remove(row)
        if row and name in {"move", "add"}:
            self.add(row.held_on + datetime.timedelta(days=days - 3), hour)
        if name == "shift":
            for row in to_come:
                self.sessions.remove(row)
                self.add(row.held_on + datetime.timedelta(days=days), hour)
        self.changes.append(CourseChange(before=before, after=self.plan(), created_at=self.now))

    def file(self, method):
        self.location, self.title = SimpleNamespace(name="Pool", address=""), "Swimming"
        self.get_absolute_url = lambda: "/classes/swimming/"
        place = SimpleNamespace(course=self, child=SimpleNamespace(first_name="Noah"), public_id="6f1b", pk=1)
        known = calendar_facts(place, method, PlaceState(self.turns, self.joined_at))
        (file,) = attachments({"calendars": known})
        return file.content


TURNS = st.tuples(
    st.sampled_from(["move", "move", "cancel", "shift", "add", "remove"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from([9, 16, 17]),
)


@pytest.mark.usefixtures("_new_york")
@hypothesis.settings(max_examples=40)
@hypothesis.given(turns=st.lists(TURNS, max_size=12), is_given_up=st.booleans())
@hypothesis.example([("move", 1, 4, 17), ("move", 1, 6, 9), ("cancel", 1, 0, 9), ("shift", 0, 1, 17)], True)
@hypothesis.example([("cancel", 0, 0, 9)] * 6, False)
@hypothesis.example([("remove", 0, 0, 9)] * 5 + [("move", 0, 9, 9), ("add", 0, 9, 17)], False)
def test_every_calendar_shows_what_takes_place_over_any_changes(turns, is_given_up):
    paper, readers = PaperClass(), programs()

    for turn in [None, *turns]:
        if turn:
            paper.turn(*turn)
        if not paper.sessions:
            return
        text = paper.file("PUBLISH")
        for program in readers:
            program.take(text)
        assert [program.shown() for program in readers] == [in_utc(paper.sessions)] * len(readers)
    paper.turns += 1
    for program in readers if is_given_up else []:
        program.take(paper.file("CANCEL"))
        assert program.shown() == []


def change(course, edit, by):
    """As staff do it, with the question answered."""
    asked = {"course": course, "edit": edit, "by": by, "now": timezone.now()}
    try:
        with transaction.atomic():
            change_course(**asked, reason="", fingerprint="")
    except NotConfirmed as question:
        with transaction.atomic():
            change_course(**asked, reason="the hall is closed", fingerprint=question.change.fingerprint)
    course.refresh_from_db()


def apply(course, by, name, which, days, hours):
    open_sessions = list(course.sessions.filter(cancelled_at=None))
    session = open_sessions[which % len(open_sessions)] if open_sessions else None
    start, end = datetime.time(hours, 30), datetime.time(hours + 1, 15)
    if name == "shift":

        def edit():
            Course.objects.filter(pk=course.pk).update(weekday=days % 7, start_time=start, end_time=end)

        change(course, edit, by)
    elif session and name == "cancel":
        now = timezone.now()
        fingerprint = preview_session(session=session).fingerprint
        close_session(session=session, by=by, reason="ill", now=now, fingerprint=fingerprint)
        process_closures(now=now)
    elif session and name in {"move", "add", "remove"}:
        held_on = session.held_on + datetime.timedelta(days=days - 3)
        if course.sessions.filter(held_on=held_on, start_time=start).exists() and name != "remove":
            return

        def edit():
            if name == "remove":
                course.sessions.filter(pk=session.pk).delete()
            elif name == "add":
                course.sessions.create(held_on=held_on, start_time=start, end_time=end)
            else:
                course.sessions.filter(pk=session.pk).update(held_on=held_on, start_time=start, end_time=end)

        change(course, edit, by)


@pytest.mark.django_db
def test_files_of_real_changes_leave_no_ghosts():
    """Dates moved twice, one that fell out, another weekday, and the place given up."""
    course, staff = create_course(sessions=6), create_staff()
    order = create_order(courses=[course])
    place = Enrollment.objects.get(order_item__order=order)
    order.confirm(reason="paid")
    steps = [
        ("move", 1, 4, 17),
        ("move", 1, 6, 9),
        ("cancel", 1, 0, 9),
        ("shift", 0, course.weekday + 2, 17),
    ]
    readers, told = programs(), 0

    for step in [None, *steps]:
        if step:
            apply(course, staff, *step)
        emails = EmailMessage.objects.exclude(context__calendars=None).order_by("pk")
        for email in emails[told:]:
            for program in readers:
                program.take(attachments(email.context)[0].content)
        told = emails.count()
        assert [program.shown() for program in readers] == [in_utc(course.sessions.all())] * len(readers)

    place.refresh_from_db()
    cancel_enrollment(enrollment=place, by=staff, reason="moved away", now=timezone.now())
    email = EmailMessage.objects.get(kind="cancellation_confirmation")
    for program in readers:
        program.take(attachments(email.context)[0].content)
        assert program.shown() == []
    assert told == 5
