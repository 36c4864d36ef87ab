"""The calendar files of emails, read back as a calendar program reads them."""

import base64
import datetime

import pytest
import requests
from django.utils import timezone
from icalendar import Calendar

from billing.changes.cancellation import cancel_enrollment
from billing.changes.class_closure import close_session, preview_session, process_closures
from billing.changes.transfer import transfer
from enrollments.models import Enrollment
from notifications.facts.calendar import attachments, calendar_facts
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from tests.factories import create_course, create_household, create_order, create_staff
from tests.notifications.facts.calendar_files import facts, parsed, starts, weeks


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
def test_sessions_at_other_times_are_single_dates_of_the_same_event():
    days = [*weeks("2026-09-16", 4), ("2026-09-19", "10:00:00"), ("2026-09-26", "10:00:00"), "2026-10-08"]

    calendar = parsed(facts(days, sequence=2, off=["2026-10-08", "2026-09-23"]))

    series, *singles = calendar.walk("VEVENT")
    assert {str(event["uid"]) for event in calendar.walk("VEVENT")} == {"6f1b@127.0.0.1"}
    assert [event["status"] for event in calendar.walk("VEVENT")] == ["CONFIRMED"] * 3
    # The 16th is of the series, so the Saturday of its week stands for the next free week, the 23rd.
    assert [(one["recurrence-id"].dt.day, one["dtstart"].dt.day) for one in singles] == [(23, 19), (14, 26)]
    assert [moment.day for moment in starts(series)] == [16, 23, 30, 7, 14]
    assert "exdate" not in series
    assert {event["sequence"] for event in calendar.walk("VEVENT")} == {2}


@pytest.mark.usefixtures("_new_york")
def test_a_first_session_that_fell_out_is_no_start_with_an_exception():
    days = weeks("2026-09-16", 4)

    (event,) = parsed(facts(days, off=days[:2])).walk("VEVENT")

    assert event["dtstart"].dt.date().isoformat() == days[2]
    assert "exdate" not in event


@pytest.mark.usefixtures("_new_york")
def test_if_nothing_takes_place_any_more_the_event_is_cancelled():
    days = weeks("2026-09-16", 3)

    events = parsed(facts(days, off=days, moved_before=["2026-09-23T16:30:00"])).walk("VEVENT")

    assert [event["status"] for event in events] == ["CANCELLED", "CANCELLED"]
    assert str(events[0]["dtstart"].dt.date()) == days[0]


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
        fingerprint=preview_session(session=second).fingerprint,
    )
    process_closures(now=now)
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


# --- A calendar program, over any sequence of changes -------------------------------------------------------


@pytest.mark.django_db
def test_who_joins_late_gets_the_sessions_that_are_left():
    today = timezone.localdate()
    first_on = today - datetime.timedelta(days=8)
    course = create_course(sessions=10, starts_on=first_on, weekday=first_on.weekday())
    order = create_order(courses=[course])
    order.confirm(reason="paid")

    email = EmailMessage.objects.get(kind="enrollment_confirmation")

    left = [row.held_on for row in course.sessions.all() if row.starts_at > timezone.now()]
    assert len(left) < course.sessions.count()
    assert (email.context["sessions"], email.context["first_on"]) == (len(left), left[0].isoformat())
    (event,) = Calendar.from_ical(attachments(email.context)[0].content).walk("VEVENT")
    assert [moment.date() for moment in starts(event)] == left


def test_who_registers_after_the_first_session_gets_the_enrollment_confirmation(committed_db, mail_server):
    """Registration may be open after the start; the email counts until the family's own first session."""
    first_on = timezone.localdate() - datetime.timedelta(days=8)
    course = create_course(sessions=10, starts_on=first_on, weekday=first_on.weekday())
    create_order(courses=[course]).confirm(reason="paid")

    drain()

    mail = EmailMessage.objects.get(kind="enrollment_confirmation")
    assert mail.status == "sent", f"it is {mail.status!r}: {mail.error}"


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

    mails = requests.get(f"{mail_server.url}/_messages", timeout=60).json()
    files = {mail["kind"]: mail["attachments"] for mail in mails}
    (file,) = files["enrollment_confirmation"]
    assert file["filename"] == "class.ics"
    assert file["type"] == "text/calendar"
    calendar = Calendar.from_ical(base64.b64decode(file["content"]))
    assert len(starts(*calendar.walk("VEVENT"))) == 10
    assert files["order_confirmation"] == []
