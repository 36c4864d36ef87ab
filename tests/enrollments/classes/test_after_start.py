"""The waitlist once its class has started: no more offers, and free seats for everybody."""

import datetime
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.checkout.place_order import place_order
from csf.proofs.invariants import violations
from enrollments.classes import waitlist
from enrollments.classes.waitlist import sweep
from enrollments.models import Child, Course, Enrollment, Location, Program
from notifications.models import EmailMessage
from orders.refusal import OrderRefused
from tests.factories import create_cart, create_household, create_order, shift
from tests.pages import parent_of, words
from tests.waitlist import family, full_class, join, place_of

pytestmark = pytest.mark.django_db


def emails():
    return list(EmailMessage.objects.order_by("pk").values_list("kind", flat=True))


def start(course, **fields):
    """It began yesterday; registration is open for long."""
    closes_at = timezone.now() + timedelta(days=20)
    Course.objects.filter(pk=course.pk).update(**{"registration_closes_at": closes_at} | fields)
    return shift(course, (timezone.localdate() - course.starts_on).days - 1)


def test_after_its_start_a_class_with_a_free_seat_and_open_registration_can_be_bought():
    course = full_class(sessions=8)
    waiting = join(family("Lopez"), course)
    course = start(course, capacity=2)
    sweep(now=timezone.now())
    waiting.refresh_from_db()
    assert waiting.status == "waitlisted"
    order = create_order(courses=[course])
    assert (order.status, order.items.get().enrollment.seat_number) == ("placed", 2)


def test_whoever_waits_is_told_once_that_offers_have_ended_and_may_buy_like_everybody():
    course = full_class(sessions=8)
    waiting = join(household := family("Lopez"), course)
    course = start(course, capacity=2)
    told = len(emails())
    for _ in range(3):
        sweep(now=timezone.now())
    assert emails()[told:] == ["waitlist_lapsed"]
    assert EmailMessage.objects.latest("pk").context["why"] == "started"
    page = words(parent_of(household).get(course.get_absolute_url()))
    assert "no longer offered to the waitlist" in page
    assert "1 place left" in page
    order = create_order(household=household, courses=[course])
    waiting.refresh_from_db()
    assert (waiting.status, place_of(household, course).status) == ("declined", "held")
    assert emails()[told:] == ["waitlist_lapsed", "order_confirmation"]
    assert (order.status, violations()) == ("placed", [])


def test_a_seat_on_offer_when_the_class_starts_is_for_everybody_afterwards():
    course = full_class(sessions=8)
    offered = join(family("Lopez"), course)
    Course.objects.filter(pk=course.pk).update(capacity=2)
    sweep(now=timezone.now())
    assert Enrollment.objects.get(pk=offered.pk).status == "offered"
    course = start(course)
    with pytest.raises(OrderRefused):
        create_order(courses=[course])  # until the offer ends
    sweep(now=timezone.now() + timedelta(hours=13))
    assert Enrollment.objects.get(pk=offered.pk).status == "lapsed"
    assert create_order(courses=[course]).status == "placed"


def test_a_class_whose_waitlist_goes_on_offers_its_seats_after_the_start():
    course = full_class(sessions=8, offers_after_start=True)
    waiting = join(family("Lopez"), course)
    course = start(course, capacity=2)
    told = len(emails())
    sweep(now=timezone.now())
    waiting.refresh_from_db()
    assert (waiting.status, emails()[told:]) == ("offered", ["waitlist_offer"])
    with pytest.raises(OrderRefused):
        create_order(courses=[course])


def test_that_waitlist_ends_with_the_registration():
    course = full_class(sessions=8, offers_after_start=True)
    waiting = join(family("Lopez"), course)
    course = start(course, registration_closes_at=timezone.now() - timedelta(minutes=1))
    Course.objects.filter(pk=course.pk).update(capacity=2)
    told = len(emails())
    sweep(now=timezone.now())
    sweep(now=timezone.now())
    waiting.refresh_from_db()
    assert (waiting.status, emails()[told:]) == ("waitlisted", ["waitlist_lapsed"])
    assert waitlist.offers_end_at(course, now=timezone.now()) is None


def test_a_class_that_is_put_off_offers_its_seats_again():
    course = full_class(sessions=8)
    waiting = join(family("Lopez"), course)
    course = start(course)
    sweep(now=timezone.now())
    course = shift(course, 30)
    Course.objects.filter(pk=course.pk).update(capacity=2)
    sweep(now=timezone.now())
    waiting.refresh_from_db()
    assert (waiting.status, waiting.offers_ended_at, violations()) == ("offered", None, [])


def test_nobody_joins_a_waitlist_that_offers_nothing():
    course = start(full_class(sessions=8))
    household = family("Lopez")
    answer = parent_of(household).post(
        reverse("join_waitlist", args=[course.slug]),
        {"child": household.children.get().public_id, "tier": "regular"},
    )
    assert answer.status_code == 302
    assert not Enrollment.objects.filter(child__household=household).exists()
    with pytest.raises(OrderRefused):
        place_order(
            order=create_cart(household=household, courses=[course]),
            by=household.guardians.get(),
            now=timezone.now(),
        )


def test_the_sweep_of_waitlists_does_not_grow_with_past_seasons():
    """Each minute. 1,500 classes with 12 places each, 1,400 of them over."""
    program = Program.objects.create(name="P")
    location = Location.objects.create(name="L", address="A")
    today = timezone.localdate()
    courses = Course.objects.bulk_create(
        Course(
            program=program,
            location=location,
            title=f"C{n}",
            slug=f"c{n}",
            age_min=1,
            age_max=18,
            weekday=0,
            start_time=datetime.time(9),
            end_time=datetime.time(10),
            starts_on=today - timedelta(days=400) if n >= 100 else today + timedelta(days=20),
            ends_on=today - timedelta(days=300) if n >= 100 else today + timedelta(days=80),
            price_cents=10000,
            capacity=12,
            registration_closes_at=timezone.now() + timedelta(days=10),
        )
        for n in range(1500)
    )
    household = create_household(children=0)
    children = Child.objects.bulk_create(
        Child(household=household, first_name=f"K{n}", last_name="X", born_on=today - timedelta(days=3000))
        for n in range(12)
    )
    Enrollment.objects.bulk_create(
        [
            Enrollment(child=child, course=course, status="active", seat_number=seat)
            for course in courses
            for seat, child in enumerate(children, start=1)
        ],
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    with CaptureQueriesContext(connection) as captured:
        sweep(now=timezone.now())

    [query] = captured.captured_queries
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query["sql"])
        assert "Seq Scan" not in "".join(line for (line,) in cursor.fetchall())
