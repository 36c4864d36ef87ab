"""A class begins with its first session and ends with its last, on every page."""

from datetime import date, timedelta

import pytest
from django.urls import reverse

from csf.templatetags.csf_format import day
from enrollments.models import Course
from tests.factories import create_course, create_order, create_staff
from tests.pages import parent_of, words
from tests.staff_pages import course_data


def test_pages_show_the_days_of_the_sessions_and_not_of_the_form(client, db):
    course = create_course(sessions=10)
    first, last = course.first_on, course.last_on
    typed = first - timedelta(days=4), last + timedelta(days=1)
    Course.objects.update(starts_on=typed[0], ends_on=typed[1])
    order = create_order(courses=[course])
    order.confirm(reason="paid")
    place = order.items.get().enrollment
    parent = parent_of(order.household)
    client.force_login(create_staff())

    shown = [
        parent.get(course.get_absolute_url()),
        parent.get(order.get_absolute_url()),
        parent.get(reverse("cancel_enrollment", args=[place.public_id])),
        client.get(reverse("admin:index")),
        client.get(reverse("admin:enrollments_course_changelist")),
        client.get(reverse("admin:enrollments_household_change", args=[order.household_id])),
    ]

    for page in shown:
        assert day(first) in page.text, page.request["PATH_INFO"]
        assert not [on for on in typed if day(on) in page.text], page.request["PATH_INFO"]
    assert day(last) in words(shown[0])
    assert day(last) in words(shown[2])


def test_without_sessions_it_is_the_planned_days(db):
    course = create_course()

    [listed] = Course.objects.with_days()

    assert (course.first_on, course.last_on) == (course.starts_on, course.ends_on)
    assert (listed.first_on, listed.last_on) == (course.starts_on, course.ends_on)


@pytest.mark.parametrize(
    ("starts_on", "error"),
    [
        (date(2030, 9, 2), ""),
        (date(2030, 9, 3), "September 3 is a Tuesday, but the class meets on Mondays."),
    ],
)
def test_a_first_day_on_which_the_class_does_not_meet_is_refused(client, db, starts_on, error):
    client.force_login(create_staff())

    answer = client.post(reverse("admin:enrollments_course_add"), course_data(starts_on=starts_on))

    assert Course.objects.filter(slug="judo").exists() == (not error)
    assert error in answer.text
