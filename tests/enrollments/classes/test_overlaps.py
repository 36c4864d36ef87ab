"""A child cannot be in two classes at once: the parent is warned by real dates and times, and may order."""

import datetime
from datetime import time, timedelta

import pytest

from enrollments.classes.overlaps import overlaps
from enrollments.models import CourseSession, Enrollment
from orders.models import OrderItem
from tests.factories import create_cart, create_child, create_course, create_household, create_order
from tests.pages import parent_of, words

pytestmark = pytest.mark.django_db

MONDAY = datetime.date(2031, 9, 1)
BEFORE = MONDAY - timedelta(days=30)


def course_at(*sessions, **fields):
    """With these sessions, each days after MONDAY, a start and an end; its own columns say otherwise."""
    course = create_course(**fields)
    CourseSession.objects.bulk_create(
        CourseSession(course=course, held_on=MONDAY + timedelta(days=days), start_time=start, end_time=end)
        for days, start, end in sessions
    )
    return course


def found(child, course, on=BEFORE):
    told = overlaps([(child.pk, course)], household=child.household, on=on)
    return [str(overlap) for overlap in told[child.pk, course.pk]]


FOUR, FIVE, SIX = time(16), time(17), time(18)
HALF_PAST = time(16, 30)


@pytest.mark.parametrize(
    ("has", "wants", "told"),
    [
        ([(0, FOUR, FIVE)], [(0, FOUR, FIVE)], "at that time"),
        ([(0, FOUR, FIVE)], [(0, HALF_PAST, SIX)], "at that time"),
        ([(0, FOUR, SIX)], [(0, HALF_PAST, FIVE)], "at that time"),
        ([(0, FOUR, FIVE)], [(0, FIVE, SIX)], None),  # one after the other
        ([(0, FOUR, FIVE)], [(1, FOUR, FIVE)], None),  # another weekday
        ([(0, FOUR, FIVE)], [(7, FOUR, FIVE)], None),  # the same weekday, when the other is over
        ([(0, FOUR, FIVE)], [(0, FOUR, FIVE), (7, FOUR, FIVE)], "at that time on September 1"),
        (
            [(0, FOUR, FIVE), (7, FOUR, FIVE), (9, FOUR, FIVE)],
            [(0, FOUR, FIVE), (2, FOUR, FIVE), (9, HALF_PAST, FIVE)],  # on two weekdays
            "at that time on 2 days from September 1",
        ),
    ],
)
def test_sessions_are_compared_by_day_and_time(has, wants, told):
    child = create_household().children.get()
    other = course_at(*has, title="Street Dance", weekday=3, start_time=time(8), end_time=time(9))
    create_order(household=child.household, courses=[other])

    assert found(child, course_at(*wants)) == ([f"Street Dance {told}"] if told else [])


@pytest.mark.parametrize(
    ("status", "is_found"),
    [("held", True), ("active", True), ("offered", True), ("waitlisted", False), ("cancelled", False)],
)
def test_only_a_seat_counts(status, is_found):
    child = create_household().children.get()
    other = course_at((0, FOUR, FIVE), title="Chess")
    seat = {"seat_number": 1} if status in {"held", "active", "offered"} else {}
    ends = {"expires_at": "2031-01-01T00:00Z"} if status in {"held", "offered"} else {}
    line = (
        {"tier": "regular", "joined_at": "2030-01-01T00:00Z"} if status in {"waitlisted", "offered"} else {}
    )
    Enrollment.objects.create(child=child, course=other, status=status, **seat, **ends, **line)

    assert bool(found(child, course_at((0, FOUR, FIVE)))) == is_found


def test_cancelled_moved_and_past_sessions_count_as_they_really_are():
    child = create_household().children.get()
    other = course_at((0, FOUR, FIVE), (7, FOUR, FIVE), (14, FOUR, FIVE), title="Chess")
    create_order(household=child.household, courses=[other])
    wanted = course_at((0, FOUR, FIVE), (7, FOUR, FIVE), (14, FOUR, FIVE), (21, FOUR, FIVE))

    first, second, _ = other.sessions.all()
    CourseSession.objects.filter(pk=second.pk).update(cancelled_at="2031-01-01T00:00Z")
    assert found(child, wanted) == ["Chess at that time on 2 days from September 1"]
    CourseSession.objects.filter(pk=second.pk).update(cancelled_at=None, held_on=MONDAY + timedelta(days=21))
    assert found(child, wanted) == ["Chess at that time on 3 days from September 1"]
    assert found(child, wanted, on=first.held_on + timedelta(days=1)) == [
        "Chess at that time on 2 days from September 15"
    ]


def test_the_class_page_warns_beside_the_child_and_takes_it_all_the_same():
    household = create_household(children=2)
    busy, free = household.children.all()
    dance = create_course(sessions=10, title="Street Dance")
    create_order(household=household, courses=[dance])
    other = create_course(sessions=10, title="Chess")
    client = parent_of(household)

    page = words(client.get(other.get_absolute_url())).replace("\u2068", "").replace("\u2069", "")
    assert f"{busy.first_name}: will be 8 on the first day, has Street Dance at that time" in page
    assert f"{free.first_name}: will be 8 on the first day Add to cart" in page

    client.post(other.get_absolute_url(), {"child": str(busy.public_id)})
    assert OrderItem.objects.get(course=other).child == busy


def test_cart_and_checkout_warn_of_lines_that_meet_each_other():
    order = create_cart(
        courses=[create_course(sessions=10, title=title) for title in ("Street Dance", "Chess")]
    )
    sibling = create_child(household=order.household)
    create_order(household=create_household())  # of strangers: nobody's business
    client = parent_of(order.household)
    child = order.items.first().child

    for url in ["/cart/", "/checkout/"]:
        page = words(client.get(url))
        assert f"Street Dance: {child.first_name} has Chess at that time." in page
        assert f"Chess: {child.first_name} has Street Dance at that time." in page
        assert sibling.first_name not in page

    order.items.last().delete()
    assert "Two classes at the same time" not in words(client.get("/cart/"))
