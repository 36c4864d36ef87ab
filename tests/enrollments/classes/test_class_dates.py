"""Other first and last days of a class: the dates that staff are asked about."""

import pytest
from django.utils import timezone

from billing.changes.class_end import complete_ended_classes
from csf.dates import local_date
from enrollments.models import Course, CourseSession
from notifications.models import EmailMessage
from notifications.rendering.render import render
from tests.enrollments.classes.moved_class import (
    DAY,
    WEEK,
    confirm,
    dates,
    edit,
    enrolled,
    mails,
    page_of,
    typed,
)
from tests.factories import create_course


def answer_dates(staff, course, asked, *, days=None):
    """Send the question about the sessions: all that it proposes, or only these days."""
    assert asked.template_name == "admin/enrollments/course_dates.html", asked
    form = typed(asked) | {"dates-add": days if days is not None else asked.context["question"].missing}
    form["dates-delete"] = [session.pk for session in asked.context["question"].outside]
    return staff.post(page_of(course), form)


@pytest.mark.parametrize("weeks", [1, 3])
def test_a_later_last_day_needs_sessions_and_the_email_names_them(staff, weeks):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    last = course.ends_on

    asked = edit(staff, course, ends_on=last + weeks * WEEK)
    none = answer_dates(staff, course, asked, days=[])
    assert "Choose at least one date" in none.text
    course.refresh_from_db()
    assert (course.ends_on, course.sessions.count(), mails().count()) == (last, 10, 0)

    tell = answer_dates(staff, course, asked)
    assert confirm(staff, course, tell, reason="Everybody wanted more.").status_code == 302

    course.refresh_from_db()
    added = [last + number * WEEK for number in range(1, weeks + 1)]
    assert (course.ends_on, dates(course)[10:]) == (added[-1], added)
    mail = mails().get()
    text = render("class_moved", mail.context).text
    assert f"More dates for {course.title}" in text
    assert "New times" not in text
    assert "No longer" not in text
    assert [row["on"] for row in mail.context["dates"]][10:] == [day.isoformat() for day in added]
    assert [row["is_new"] for row in mail.context["dates"]] == [False] * 10 + [True] * weeks
    assert text.count("(new)") == weeks
    assert mail.context["last_on"] == added[-1].isoformat()


def test_only_the_chosen_dates_are_added_and_the_end_said_is_the_last_of_them(staff):
    course = create_course(sessions=10)
    enrolled(course)
    first, last = course.ends_on + WEEK, course.ends_on + 2 * WEEK

    asked = edit(staff, course, ends_on=last)
    confirm(staff, course, answer_dates(staff, course, asked, days=[first]))

    assert dates(course)[10:] == [first]
    assert mails().get().context["last_on"] == first.isoformat()


def test_dates_before_the_first_are_offered_and_those_outside_are_deleted_once_confirmed(staff):
    course = create_course(sessions=10)
    enrolled(course)
    first, last = course.starts_on, course.ends_on

    asked = edit(staff, course, starts_on=first - WEEK, ends_on=last - 2 * WEEK)
    question = asked.context["question"]
    assert question.missing == [first - WEEK]
    assert [session.held_on for session in question.outside] == [last - WEEK, last]
    confirm(staff, course, answer_dates(staff, course, asked))

    course.refresh_from_db()
    expected = [first - WEEK + number * WEEK for number in range(9)]
    assert (course.starts_on, course.ends_on, dates(course)) == (first - WEEK, last - 2 * WEEK, expected)
    assert mails().get().context["is_at_other_times"]


def test_a_shorter_class_says_fewer_dates(staff):
    course = create_course(sessions=10)
    enrolled(course)

    confirm(staff, course, answer_dates(staff, course, edit(staff, course, ends_on=course.ends_on - WEEK)))

    text = render("class_moved", mails().get().context).text
    assert f"Fewer dates for {course.title}" in text
    assert len(dates(course)) == 9


@pytest.mark.parametrize(
    "what", ["no weekly date in it", "sessions typed with it", "shorter within the last week"]
)
def test_last_days_that_ask_nothing(staff, what):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    last = course.ends_on
    changes = {"ends_on": last + 3 * DAY}
    if what == "sessions typed with it":
        changes = {"ends_on": last + 3 * WEEK, "sessions-9-held_on": last + 3 * WEEK}
    if what == "shorter within the last week":
        Course.objects.update(ends_on=last + 5 * DAY)
        changes = {"ends_on": last + DAY}

    answer = edit(staff, course, **changes)

    course.refresh_from_db()
    if what == "sessions typed with it":
        assert answer.template_name == "admin/action.html"
        return
    assert (answer.status_code, course.ends_on, mails().count()) == (302, changes["ends_on"], 0)


def test_a_class_that_goes_on_after_its_end_has_its_children_and_orders_again(staff):
    course = create_course(sessions=10)
    place = enrolled(course)
    part = place.order_item.order.installments.get()
    part.start_charging()
    part.pay(reason="paid")
    gone = local_date(timezone.now()) - 12 * WEEK
    for number, session in enumerate(course.sessions.all()):
        CourseSession.objects.filter(pk=session.pk).update(held_on=gone + number * WEEK)
    Course.objects.update(starts_on=gone, ends_on=gone + 9 * WEEK, weekday=gone.weekday())
    complete_ended_classes(on=local_date(timezone.now()))
    place.refresh_from_db()
    order = place.order_item.order
    ended = (place.status, order.status)
    course.refresh_from_db()

    asked = edit(staff, course, ends_on=course.ends_on + 8 * WEEK)
    confirm(staff, course, answer_dates(staff, course, asked))

    place.refresh_from_db()
    order.refresh_from_db()
    assert ended == ("completed", "completed")
    assert (place.status, place.seat_number, order.status) == ("active", 1, "confirmed")
    assert "More dates for" in render("class_moved", mails().get().context).subject
