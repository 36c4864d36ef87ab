"""A new class is a draft; publishing is an act of its own, with a list of what is missing."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from enrollments.models import Course, Location, Program
from tests.factories import create_course, create_household, create_order, create_staff
from tests.pages import parent_of, words
from tests.staff_forms import hide_page, press, publish_page
from tests.staff_pages import course_data


@pytest.fixture
def office(client, db):
    client.force_login(create_staff())
    return client


def test_a_new_class_is_hidden_until_it_is_published(office):
    answer = office.post(reverse("admin:enrollments_course_add"), course_data(title="First Throws"))
    course = Course.objects.get(slug="judo")
    hidden = [
        Client().get("/").text.count("First Throws"),
        Client().get(course.get_absolute_url()).status_code,
    ]

    shown = office.get(publish_page(course))
    press(office, publish_page(course))
    course.refresh_from_db()

    assert answer.url == reverse("admin:enrollments_course_change", args=[course.pk])
    assert hidden == [0, 404]
    assert course.price_cents == 14_400
    assert shown.context["confirm"]
    assert "$144.00" in shown.text
    assert course.is_published
    assert office.get(course.get_absolute_url()).status_code == 200
    assert LogEntry.objects.filter(object_id=course.pk).count() == 2


@pytest.mark.parametrize(
    ("lack", "changes"),
    [
        ("Sessions", None),
        ("Registration", lambda course: {"registration_closes_at": course.registration_opens_at}),
        ("First day", lambda course: {"starts_on": course.starts_on - timedelta(days=1)}),
        ("Places", lambda course: {"capacity": 0}),
        ("Takes place", lambda course: {"cancelled_at": timezone.now()}),
    ],
)
def test_a_class_that_lacks_something_is_not_published(office, lack, changes):
    course = create_course(sessions=10 if changes else 0, is_published=False)
    Course.objects.filter(pk=course.pk).update(**changes(course) if changes else {"capacity": 8})

    shown = office.get(publish_page(course))
    answer = press(office, publish_page(course))

    course.refresh_from_db()
    checks = shown.context["facts"].checks
    assert [check.title for check in checks if check.is_required and not check.is_met] == [lack]
    assert not shown.context["confirm"]
    assert "Missing:" in shown.text
    assert f"Not published. {lack}:" in answer.text
    assert not course.is_published


def test_hiding_a_class_keeps_those_who_are_enrolled(office):
    order = create_order(courses=[create_course(sessions=10)])
    order.confirm(reason="paid")
    course = order.items.get().course

    press(office, hide_page(course))

    course.refresh_from_db()
    assert not course.is_published
    assert [row.status for row in course.enrollments.all()] == ["active"]


def test_who_has_a_place_in_a_hidden_class_still_sees_its_page(office):
    """Pages, emails and calendars of the family lead there."""
    order = create_order(courses=[create_course(sessions=10)])
    order.confirm(reason="paid")
    course = order.items.get().course
    press(office, hide_page(course))
    parent, other = parent_of(order.household), parent_of(create_household())

    page = parent.get(course.get_absolute_url())

    assert page.status_code == 200
    assert "no longer listed" in words(page)
    assert not page.context["is_open"]
    for stranger in (Client(), other):
        assert stranger.get(course.get_absolute_url()).status_code == 404


def test_no_filter_of_the_catalog_names_what_only_drafts_have(db):
    create_course(
        program=Program.objects.create(name="Circus from 2030"),
        location=Location.objects.create(name="The New Hall", address="1 Secret Street"),
        is_published=False,
    )
    create_course()

    page = Client().get("/").text

    assert "Swimming" in page
    assert "Circus" not in page
    assert "New Hall" not in page


def test_who_may_not_change_a_class_may_not_publish_it(client, db):
    client.force_login(create_staff(is_superuser=False))
    course = create_course(sessions=10, is_published=False)

    assert client.post(publish_page(course)).status_code == 403
    assert not Course.objects.filter(is_published=True).exists()
