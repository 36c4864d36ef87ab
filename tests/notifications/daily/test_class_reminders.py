"""Reminders of classes that start soon."""

import datetime
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from billing.changes.transfer import transfer
from csf.dates import local_date, start_of_day
from csf.jobs import daily
from csf.jobs.declared import daily_jobs
from csf.models import JobRun
from enrollments.models import CourseSession, Enrollment, User
from notifications.daily.class_reminders import send_class_reminders
from notifications.facts.calendar import attachments
from notifications.models import EmailMessage, EmailPreference
from notifications.rendering.render import render
from notifications.sending.drain import drain
from tests.bench.rows import create_courses, create_families
from tests.factories import create_course, create_guardian, create_household, create_order, create_staff

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LATE = "enrolled so late that the confirmation has just said it"


def place(*, course=None, household=None, sessions=10, **fields):
    """Paid for today; its class begins in three weeks."""
    course = course or create_course(sessions=sessions, **fields)
    order = create_order(household=household, courses=[course])
    order.confirm(reason="paid")
    EmailMessage.objects.all().delete()
    return Enrollment.objects.get(order_item__order=order)


def mails():
    return EmailMessage.objects.filter(kind="class_starts_soon")


def reminders_on(*days):
    """How many reminders are owed after the job of each of these days."""
    counts = []
    for day in days:
        send_class_reminders(on=day)
        counts.append(mails().count())
    return counts


def days_before(first_on, *numbers):
    return [first_on - number * DAY for number in numbers]


def test_a_reminder_goes_once_five_days_ahead_and_says_all(settings):
    settings.SCHOOL_TIME_ZONE = "America/New_York"
    enrollment = place(what_to_bring="A swimsuit\n\n  Goggles \n")
    course, child = enrollment.course, enrollment.child
    first_on = course.starts_on
    user = child.household.guardians.get()

    assert reminders_on(*days_before(first_on, 7, 6, 5, 5, 4, 1, 0, -1)) == [0, 0, 1, 1, 1, 1, 1, 1]

    mail = mails().get()
    starts_at = start_of_day(first_on) + timedelta(hours=16, minutes=30)
    assert mail.dedupe_key == f"class_starts_soon:enrollment:{enrollment.pk}:starts:{first_on}:{user.pk}"
    assert (mail.to, mail.fact_id, mail.expires_at) == (user.email, enrollment.pk, starts_at)
    facts = {name: value for name, value in mail.context.items() if name != "calendars"}
    assert facts == {
        "first_name": "Pat",
        "child": str(child),
        "child_first_name": child.first_name,
        "course": course.title,
        "course_path": course.get_absolute_url(),
        "location": "Harbour Pool",
        "address": "3 Quay Road",
        "weekday": course.get_weekday_display(),
        "start_time": "16:30:00",
        "end_time": "17:15:00",
        "first_on": first_on.isoformat(),
        "last_on": course.ends_on.isoformat(),
        "starts_on": first_on.isoformat(),
        "session_start": "16:30:00",
        "session_end": "17:15:00",
        "bring": ["A swimsuit", "Goggles"],
    }
    (file,) = attachments(mail.context)
    (event,) = Calendar.from_ical(file.content).walk("VEVENT")
    assert str(enrollment.public_id) in event["uid"]
    assert event["sequence"] == 1  # as in the confirmation
    text = render("class_starts_soon", mail.context).text
    assert "Eastern Time" in text
    assert "* A swimsuit\n* Goggles\n" in text


@pytest.mark.parametrize(("first_run", "owed"), [(4, 1), (1, 1), (0, 0), (-1, 0)])
def test_missed_days_are_made_up_until_the_day_before(first_run, owed):
    enrollment = place()

    assert reminders_on(enrollment.course.starts_on - first_run * DAY) == [owed]


def test_the_first_session_that_takes_place_counts_and_a_moved_one_is_told_again():
    enrollment = place()
    first, second, third = enrollment.course.sessions.all()[:3]
    CourseSession.objects.filter(pk=first.pk).update(cancelled_at=timezone.now())

    assert reminders_on(*days_before(first.held_on, 5, 1)) == [0, 0]
    assert reminders_on(*days_before(second.held_on, 5, 4)) == [1, 1]
    CourseSession.objects.filter(pk=second.pk).update(held_on=second.held_on + DAY, start_time="09:00")
    assert reminders_on(*days_before(second.held_on, 3, 2)) == [2, 2]

    context = mails().latest("pk").context
    assert context["starts_on"] == (second.held_on + DAY).isoformat()
    assert (context["session_start"], context["start_time"]) == ("09:00:00", "16:30:00")
    assert third.held_on.isoformat() not in {mail.context["starts_on"] for mail in mails()}


def test_a_class_without_dated_sessions_starts_on_its_first_day():
    enrollment = place(sessions=0)

    assert reminders_on(*days_before(enrollment.course.starts_on, 6, 5)) == [0, 1]
    mail = mails().get()
    assert (mail.context["session_start"], mail.context["calendars"]) == ("16:30:00", [])


@pytest.mark.parametrize(("days", "is_sent"), [(4, False), (5, False), (6, True)])
def test_who_has_just_enrolled_has_just_been_told(days, is_sent):
    """The days count from the payment, not from when the place was waited for."""
    today = local_date(timezone.now())
    first_on = today + days * DAY
    enrollment = place(starts_on=first_on, weekday=first_on.weekday())
    Enrollment.objects.filter(pk=enrollment.pk).update(created_at=timezone.now() - 30 * DAY)

    report = send_class_reminders(on=first_on - 3 * DAY)

    assert (report.done, list(report.reasons)) == ((1, []) if is_sent else (0, [LATE]))


def test_who_comes_in_the_middle_is_not_told_of_the_second_session():
    enrollment = place()
    today = local_date(timezone.now())
    for number, session in enumerate(enrollment.course.sessions.all()):
        CourseSession.objects.filter(pk=session.pk).update(held_on=today + (7 * number - 3) * DAY)
    # The next sessions are in 4 and 11 days: 4 is close to the enrollment, 11 is not the first.
    reports = [send_class_reminders(on=today + days * DAY) for days in range(12)]

    assert [report.done for report in reports] == [0] * 12
    assert [list(report.reasons) for report in reports[:4]] == [[LATE]] * 4


@pytest.mark.parametrize(
    "what", ["held", "cancelled", "transferred", "class cancelled", "on_offer", "nobody"]
)
def test_who_is_not_reminded(what):
    enrollment = place()
    first_on = enrollment.course.starts_on
    rows = Enrollment.objects.filter(pk=enrollment.pk)
    reasons = []
    match what:
        case "held":
            rows.update(status="held", expires_at=timezone.now())
        case "class cancelled":
            type(enrollment.course).objects.update(cancelled_at=timezone.now())
        case "nobody":
            User.objects.filter(household=enrollment.child.household).update(household=None)
            reasons = ["the family has no address to write to"]
        case "on_offer":
            rows.update(status="on_offer", seat_number=None)
            reasons = ["someone on the waitlist may take the place over"]
        case status:
            rows.update(status=status, seat_number=None)

    report = send_class_reminders(on=first_on - 3 * DAY)

    assert (report.done, list(report.reasons), mails().count()) == (0, reasons, 0)


def test_each_child_and_each_guardian_who_wants_copies_gets_one():
    household = create_household(children=2)
    course = create_course(sessions=3)
    first = place(household=household, course=course)
    other = create_guardian(household=household)
    EmailPreference.objects.create(user=other, choice=EmailPreference.COPIES, is_on=True, origin="page")
    second_child = household.children.last()
    Enrollment.objects.create(child=second_child, course=course, status="active", seat_number=2)

    report = send_class_reminders(on=course.starts_on - 5 * DAY)

    assert (report.done, mails().count()) == (2, 4)
    assert mails().filter(fact_id=first.pk).values("to").distinct().count() == 2


def test_a_child_that_was_moved_is_reminded_of_the_new_class():
    enrollment, other = place(), create_course(sessions=5)
    new = transfer(
        enrollment=enrollment, course=other, by=create_staff(), reason="asked", now=timezone.now()
    ).joined

    assert reminders_on(*days_before(other.starts_on, 5, 4)) == [1, 1]
    assert mails().get().fact_id == new.pk


def test_a_reminder_that_is_no_longer_true_or_not_wanted_is_not_sent(mail_server):
    stays, leaves, quiet = place(), place(), place()
    user = quiet.child.household.guardians.get()
    EmailPreference.objects.create(user=user, choice="class_starts_soon", is_on=False, origin="page")
    send_class_reminders(on=stays.course.starts_on - 5 * DAY)
    Enrollment.objects.filter(pk=leaves.pk).update(status="cancelled", seat_number=None)

    drain()

    assert dict(mails().values_list("fact_id", "status")) == {
        stays.pk: "sent",
        leaves.pk: "expired",
        quiet.pk: "suppressed",
    }


def test_0_days_switch_it_off(settings):
    settings.CLASS_REMINDER_DAYS = 0
    enrollment = place()

    assert reminders_on(*days_before(enrollment.course.starts_on, 5, 1, 0)) == [0, 0, 0]


def test_a_dry_run_and_the_page_list_what_the_job_does(client, capsys):
    client.force_login(create_staff())
    enrollment = place()
    on = enrollment.course.starts_on - 5 * DAY
    child = create_household().children.get()
    late = Enrollment.objects.create(child=child, course=enrollment.course, status="active", seat_number=2)
    Enrollment.objects.filter(pk=late.pk).update(created_at=start_of_day(on))

    page = client.get(reverse("admin:tomorrow"), {"date": on.isoformat()})
    sections = {section.job.name: section for section in page.context["sections"]}
    listed = [
        (listing.name, line.subject, line.reason)
        for listing in sections["send_class_reminders"].listings
        for line in listing.shown
    ]
    call_command("run_job", "send_class_reminders", "--date", on.isoformat(), "--dry-run")
    assert mails().count() == 0
    call_command("run_job", "send_class_reminders", "--date", on.isoformat())
    call_command("run_job", "send_class_reminders", "--date", on.isoformat())

    assert listed == [("planned", str(enrollment), ""), ("skipped", str(late), LATE)]
    assert all(subject in page.content.decode() for _, subject, _ in listed)
    assert capsys.readouterr().out.splitlines() == [
        f"  do {enrollment}",
        f"  skip {late}: {LATE}",
        "would do: done=1 skipped=1 failed=0",
        f"send_class_reminders {on}: done=1 skipped=1 failed=0",
        f"send_class_reminders {on}: already done, nothing to do",
    ]
    assert mails().get().fact_id == enrollment.pk
    assert JobRun.objects.get().report["skipped"] == [{"subject": str(late), "reason": LATE}]


def test_a_thousand_cost_as_many_statements_as_two_hundred():
    today = local_date(timezone.now())
    on = today + 9 * DAY
    statements = []
    for count in (200, 1000):
        children = [user.household.children.first() for user in create_families(count)]
        courses = create_courses(4, capacity=count)
        for course in courses:
            course.plan_sessions()
            first = course.sessions.first()
            CourseSession.objects.filter(pk=first.pk).update(held_on=on + 4 * DAY)
        Enrollment.objects.bulk_create(
            Enrollment(child=child, course=courses[number % 4], status="active", seat_number=number + 1)
            for number, child in enumerate(children)
        )
        with CaptureQueriesContext(connection) as queries:
            assert send_class_reminders(on=on).done == count
        statements.append(len(queries))
        Enrollment.objects.update(status="completed", seat_number=None)

    assert mails().count() == 1200
    assert max(statements) <= 12
    # A full chunk is followed by a look for the next one.
    assert statements[1] - statements[0] <= 1


def test_a_schedule_does_it_with_the_schools_date(monkeypatch, settings):
    settings.SCHOOL_TIME_ZONE = "Pacific/Auckland"
    enrollment = place()
    first_on = enrollment.course.starts_on
    # Past midnight at the school, the day before elsewhere.
    instant = (start_of_day(first_on - 5 * DAY) + timedelta(minutes=5)).astimezone(datetime.UTC)
    monkeypatch.setattr(timezone, "now", lambda: instant)

    daily.send_class_reminders()

    job = daily_jobs()["send_class_reminders"]
    assert (job.task, job.cron) == ("csf.jobs.daily.send_class_reminders", "0 9 * * *")
    assert JobRun.objects.get().on == first_on - 5 * DAY
    assert mails().get().fact_id == enrollment.pk
