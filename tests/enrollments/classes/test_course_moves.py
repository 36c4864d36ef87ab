"""Another place or other times for a class: what staff are asked before families hear of it."""

from datetime import date, time

import pytest
from django.utils import timezone
from icalendar import Calendar

from billing.changes.cancellation import cancel_enrollment
from csf.clock import Now
from csf.dates import local_date, start_of_day
from csf.staff.actions import CHANGED
from enrollments.models import Course, CourseChange, CourseSession, Enrollment
from notifications.facts.calendar import attachments
from notifications.models import EmailMessage
from notifications.rendering.render import render
from tests.enrollments.classes.moved_class import (
    DAY,
    REASON,
    WEEK,
    confirm,
    dates,
    edit,
    enrolled,
    mails,
    mill,
    moved,
    page_of,
    typed,
)
from tests.factories import create_course, create_household

# --- The page -----------------------------------------------------------------------------------------------


def test_staff_see_whom_no_email_reaches(staff):
    course, household = create_course(sessions=10), create_household()
    enrolled(course, household)
    household.guardians.update(is_active=False)

    asked = edit(staff, course, location=mill().pk)

    assert f"{household}: the family has no guardian with an account" in asked.text


def test_another_place_is_asked_about_and_told_once_with_old_and_new(staff):
    course = create_course(sessions=10)
    household = create_household()
    place = enrolled(course, household)
    EmailMessage.objects.all().delete()

    asked = edit(staff, course, location=mill().pk)

    assert asked.status_code == 200
    assert "1 family will be told about the change by email" in asked.text
    assert asked.context["facts"].change.differences == [
        ("Place", "Harbour Pool, 3 Quay Road", "Old Mill, 1 Mill Lane")
    ]
    course.refresh_from_db()
    assert (course.location.name, CourseChange.objects.count(), mails().count()) == ("Harbour Pool", 0, 0)

    assert confirm(staff, course, asked).status_code == 302
    course.refresh_from_db()
    change, mail = CourseChange.objects.get(), mails().get()
    assert (course.location.name, change.reason, change.by) == ("Old Mill", REASON, staff.user)
    assert (change.before["location"], change.after["location"]) == ("Harbour Pool", "Old Mill")
    user = household.guardians.get()
    assert mail.dedupe_key == f"class_moved:change:{change.pk}:{household.pk}:{user.pk}"
    assert (mail.to, mail.fact_id) == (user.email, place.pk)
    assert mail.expires_at == start_of_day(course.ends_on + DAY)
    (file,) = attachments(mail.context)
    (event,) = Calendar.from_ical(file.content).walk("VEVENT")
    assert (event["location"], event["sequence"]) == ("Old Mill, 1 Mill Lane", 2)  # 1 in the confirmation
    text = render("class_moved", mail.context).text
    for words in (
        f"New place for {course.title}",
        "was Harbour Pool, 3 Quay Road",
        "Place: Old Mill, 1 Mill Lane",
        REASON,
        str(place.child),
    ):
        assert words in text
    assert text.count("Time: ") == 1

    assert edit(staff, course).status_code == 302  # the same form once more
    assert (CourseChange.objects.count(), mails().count()) == (1, 1)
    listed = staff.get(page_of(course)).text
    assert "Changes that families were emailed about" in listed
    assert REASON in listed


def test_other_times_take_the_sessions_to_come_along(staff):
    course = create_course(sessions=10)
    enrolled(course)
    past, _, by_hand = course.sessions.all()[:3]
    CourseSession.objects.filter(pk=past.pk).update(held_on=local_date(timezone.now()) - WEEK)
    CourseSession.objects.filter(pk=by_hand.pk).update(held_on=by_hand.held_on + 2 * DAY)
    EmailMessage.objects.all().delete()
    before = dates(course)
    later = (course.weekday + 1) % 7
    days = (later - course.weekday) * DAY
    if course.weekday == 6:  # Monday of that week is before the class begins
        days += WEEK

    mail = moved(staff, course, weekday=later, start_time="17:00:00", end_time="18:00:00")

    expected = [day if day in {before[0], by_hand.held_on + 2 * DAY} else day + days for day in before]
    assert dates(course) == sorted(expected)
    assert course.ends_on >= dates(course)[-1]
    past.refresh_from_db()
    assert (past.held_on, past.start_time) == (before[0], time(16, 30))
    change = CourseChange.objects.get()
    assert before[0].isoformat() not in {row["on"] for row in change.before["sessions"]}
    assert len(mail.context["dates"]) == 9
    assert len(mail.context["gone"]) == 8
    assert mail.context["was"]["start_time"] == "16:30:00"
    events = Calendar.from_ical(attachments(mail.context)[0].content).walk("VEVENT")
    assert max(event["dtstart"].dt.time() for event in events) == time(17, 0)


def test_one_date_that_is_moved_or_added_or_removed(staff):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    second, third = course.sessions.all()[1:3]

    mail = moved(staff, course, **{"sessions-1-held_on": (second.held_on + DAY).isoformat()})
    assert [row["on"] for row in mail.context["gone"]] == [second.held_on.isoformat()]
    assert [row["on"] for row in mail.context["dates"]] == [day.isoformat() for day in dates(course)]
    assert (mail.context["is_elsewhere"], mail.context["is_at_other_times"]) == (False, True)

    form = typed(staff.get(page_of(course)))
    asked = staff.post(page_of(course), form | {"sessions-2-DELETE": "on"})
    assert confirm(staff, course, asked).status_code == 302
    assert third.held_on not in dates(course)
    assert [mail.context["calendars"][0]["sequence"] for mail in mails()] == [2, 3]


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a typo", {"title": "Dolphin Swimming"}),
        ("words", {"description": "New words", "what_to_bring": "A towel"}),
        ("a seat", {"capacity": 9}),
        ("nothing", {}),
    ],
)
def test_what_tells_nobody(staff, what, changes):
    course = create_course(sessions=10)
    enrolled(course)

    assert edit(staff, course, **changes).status_code == 302

    course.refresh_from_db()
    assert all(str(getattr(course, name)) == str(value) for name, value in changes.items())
    assert (CourseChange.objects.count(), mails().count()) == (0, 0)


@pytest.mark.parametrize(
    "what", ["nobody enrolled", "all left", "only waiting", "over", "cancelled", "past date"]
)
def test_who_is_not_asked_about(staff, what):
    course = create_course(sessions=10)
    changes = {"location": mill().pk}
    if what != "nobody enrolled":
        place = enrolled(course)
    match what:
        case "all left":
            cancel_enrollment(enrollment=place, by=staff.user, reason="moved", now=timezone.now())
        case "only waiting":
            Enrollment.objects.filter(pk=place.pk).update(
                status="waitlisted", seat_number=None, tier="regular", joined_at=Now()
            )
        case "over":
            Course.objects.update(starts_on=date(2026, 1, 5), ends_on=date(2026, 3, 5), weekday=0)
            course.sessions.all().delete()
            CourseSession.objects.create(
                course=course, held_on=date(2026, 1, 5), start_time="10:00", end_time="11:00"
            )
        case "cancelled":
            Course.objects.update(cancelled_at=Now())
        case "past date":
            first = course.sessions.first()
            CourseSession.objects.filter(pk=first.pk).update(held_on=local_date(timezone.now()) - 3 * DAY)
            changes = {"sessions-0-held_on": (local_date(timezone.now()) - 2 * DAY).isoformat()}

    assert edit(staff, course, **changes).status_code == 302
    assert (CourseChange.objects.count(), mails().count()) == (0, 0)


def test_the_reason_is_needed_and_what_was_seen_must_still_be_so(staff):
    course = create_course(sessions=10)
    enrolled(course)
    asked = edit(staff, course, location=mill().pk)

    without = confirm(staff, course, asked, reason="  ")
    assert "Give a reason: the families will see it." in without.text
    enrolled(course)  # another family meanwhile
    outdated = confirm(staff, course, without)
    assert CHANGED in outdated.text
    assert "2 families will be told about the change by email" in outdated.text
    assert mails().count() == 0

    assert confirm(staff, course, outdated).status_code == 302
    assert mails().count() == 2
    assert EmailMessage.objects.filter(context__reason=REASON).count() == 2


def test_a_second_click_tells_nobody_twice(staff):
    course = create_course(sessions=10)
    enrolled(course)
    asked = edit(staff, course, location=mill().pk)

    assert [confirm(staff, course, asked).status_code for _ in range(2)] == [302, 302]
    assert (CourseChange.objects.count(), mails().count()) == (1, 1)


def test_hostile_words_stay_words(staff):
    course = create_course(sessions=10)
    enrolled(course)
    bad = "<script>alert(1)</script>"

    asked = edit(staff, course, location=mill().pk, description=bad)
    assert "<script>alert" not in asked.text
    assert confirm(staff, course, asked, reason=bad).status_code == 302

    course.refresh_from_db()
    assert course.description == bad
    assert "<script>alert" not in render("class_moved", mails().get().context).html
    assert "<script>alert" not in staff.get(page_of(course)).text
