"""The calendar files of emails, read back as a calendar program reads them."""

import base64
import datetime

import pytest
import requests
from dateutil.rrule import rrulestr
from django.utils import timezone
from icalendar import Calendar

from billing.cancel import cancel_enrollment
from billing.closing import close_session, preview_session, work_off_closures
from billing.transfer import transfer
from enrollments.models import Enrollment
from notifications.facts.calendar import attachments, calendar_facts
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from tests.factories import create_course, create_household, create_order, create_staff


@pytest.fixture
def _new_york(settings):
    settings.SCHOOL_TIME_ZONE = "America/New_York"


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


@pytest.mark.usefixtures("_new_york")
@pytest.mark.parametrize(
    ("first", "offsets"), [("2026-09-16", {-4, -5}), ("2026-02-18", {-4, -5}), ("2026-06-03", {-4})]
)
def test_a_weekly_class_keeps_its_hour_when_the_clock_changes(first, offsets):
    days = weeks(first, 10, leaving=[weeks(first, 10)[4]])

    calendar = parsed(facts(days, sequence=3))

    (event,) = calendar.walk("VEVENT")
    assert [moment.date().isoformat() for moment in starts(event)] == days
    assert {moment.time() for moment in starts(event)} == {datetime.time(16, 30)}
    assert event["dtstart"].params["TZID"] == "America/New_York"
    assert event["rrule"]["until"][0].utcoffset() == datetime.timedelta(0)
    assert event["dtend"].dt - event["dtstart"].dt == datetime.timedelta(minutes=45)
    assert (event["sequence"], event["status"]) == (3, "CONFIRMED")
    assert event["summary"] == "Swimming; Level 2, and\nBEGIN:VALARM (Noah)"  # a name adds no line of its own
    assert not calendar.walk("VALARM")
    (zone,) = calendar.walk("VTIMEZONE")
    assert zone["tzid"] == "America/New_York"
    made = zone.to_tz()  # the file's own rules, for a program that does not know a zone of that name
    hours = [
        moment.replace(tzinfo=made).utcoffset() / datetime.timedelta(hours=1) for moment in starts(event)
    ]
    assert hours == [moment.utcoffset() / datetime.timedelta(hours=1) for moment in starts(event)]
    assert set(hours) == offsets


@pytest.mark.usefixtures("_new_york")
def test_sessions_at_other_times_are_events_of_their_own_with_uids_that_stay():
    days = [*weeks("2026-09-16", 4), ("2026-09-19", "10:00:00"), ("2026-09-26", "10:00:00"), "2026-10-08"]

    before = parsed(facts(days))
    after = parsed(facts(days, sequence=2, off=["2026-10-08", "2026-09-23"]))

    for calendar in (before, after):
        assert [str(event["uid"]) for event in calendar.walk("VEVENT")] == [
            "6f1b@127.0.0.1",
            "6f1b-sat1000@127.0.0.1",
            "6f1b-thu1630@127.0.0.1",
        ]
    assert [len(starts(event)) for event in before.walk("VEVENT")] == [4, 2, 1]
    assert [event["status"] for event in after.walk("VEVENT")] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert [moment.day for moment in starts(after.walk("VEVENT")[0])] == [16, 30, 7]
    assert {event["sequence"] for event in after.walk("VEVENT")} == {2}


@pytest.mark.usefixtures("_new_york")
def test_a_cancelled_place_leaves_the_calendar():
    calendar = parsed(facts(weeks("2026-09-16", 3), method="CANCEL", sequence=4))

    (event,) = calendar.walk("VEVENT")
    assert (calendar["method"], event["status"], event["sequence"]) == ("CANCEL", "CANCELLED", 4)
    assert event["organizer"].startswith("mailto:")


@pytest.mark.django_db
def test_a_place_tells_its_life_in_files_of_growing_sequence():
    course, other = create_course(sessions=10), create_course(sessions=10)
    order = create_order(household=create_household(), courses=[course])
    place = Enrollment.objects.get(order_item__order=order)
    order.confirm(reason="paid")
    place.refresh_from_db()
    staff, now = create_staff(), timezone.now()
    second = course.sessions.all()[1]
    close_session(
        session=second,
        by=staff,
        reason="the coach is ill",
        now=now,
        seen=preview_session(session=second).seen,
    )
    work_off_closures(now=now)
    place.refresh_from_db()
    moved = transfer(enrollment=place, course=other, by=staff, reason="asked for", now=now)
    cancel_enrollment(enrollment=moved.joined, by=staff, reason="moved away", now=now)

    told = []
    for email in EmailMessage.objects.exclude(context__calendars=None).order_by("pk"):
        for file in attachments(email.context):
            (event,) = Calendar.from_ical(file.content).walk("VEVENT")
            uid = "old" if str(place.public_id) in event["uid"] else "new"
            told.append((email.kind, file.name, uid, int(event["sequence"]), len(starts(event))))
    assert told == [
        ("enrollment_confirmation", "class.ics", "old", 1, 10),
        ("session_cancelled", "class.ics", "old", 2, 9),
        ("transfer_confirmation", "cancelled.ics", "old", 3, 9),
        ("transfer_confirmation", "class.ics", "new", 0, 10),
        ("cancellation_confirmation", "cancelled.ics", "new", 1, 10),
    ]


@pytest.mark.django_db
def test_a_class_without_dates_or_all_over_has_no_file():
    course = create_course()
    order = create_order(courses=[course])
    assert calendar_facts(Enrollment.objects.get(order_item__order=order)) == []
    assert attachments({}) == []


def test_the_provider_gets_the_file(committed_db, mail_server):
    order = create_order(courses=[create_course(sessions=10)])
    order.confirm(reason="paid")

    drain()

    mails = requests.get(f"{mail_server.url}/_messages", timeout=10).json()
    files = {mail["kind"]: mail["attachments"] for mail in mails}
    (file,) = files["enrollment_confirmation"]
    assert file["filename"] == "class.ics"
    assert file["type"] == "text/calendar"
    calendar = Calendar.from_ical(base64.b64decode(file["content"]))
    assert len(starts(*calendar.walk("VEVENT"))) == 10
    assert files["order_confirmation"] == []
