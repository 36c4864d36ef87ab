"""The same seat wanted by the waitlist, the public and staff at the same moment, on real commits.

Each rule has its control: with it patched away the damage shows, so the race is really run.
"""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from billing.changes import waitlist
from billing.changes.waitlist import accept_offer, join_waitlist
from billing.checkout.place_order import place_order
from csf.proofs.invariants import violations
from enrollments.classes.waitlist import fill, sweep
from enrollments.locks import lock_course
from enrollments.models import Course, Enrollment
from enrollments.models.seats import free_seat_numbers
from orders import checkout
from orders.refusal import OrderRefused
from tests.factories import create_cart
from tests.rivals import at_once
from tests.waitlist import end_offer, family, free, full_class, join

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]

rounds = pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.chaos)])


def parent(household):
    return household.guardians.get()


def add_seat(course):
    with transaction.atomic():
        locked = lock_course(course.pk)
        locked.capacity += 1
        locked.save()
        fill(locked, now=timezone.now())


def buy(cart):
    place_order(order=cart, by=parent(cart.household), now=timezone.now())


def wait_for(course, household):
    return join_waitlist(
        child=household.children.get(), course=course, by=parent(household), now=timezone.now()
    )


def statuses(places):
    return tuple(Enrollment.objects.get(pk=place.pk).status for place in places)


@rounds
def test_offer_ends_is_accepted_and_a_seat_is_added_while_the_public_buys(rounds):
    for number in range(rounds):
        _offer_ends_while_all_want_it(timedelta(seconds=0.02 * (number % 4)))
    assert violations() == []


def _offer_ends_while_all_want_it(left):
    course, families = full_class(), [family(name) for name in ("Lopez", "Chen", "Novak")]
    places = [join(household, course) for household in families]
    cart = create_cart(courses=[course])
    free(course)
    Enrollment.objects.filter(pk=places[0].pk).update(expires_at=timezone.now() + left)
    offered = Enrollment.objects.get(pk=places[0].pk)

    came_to = at_once(
        lambda: accept_offer(enrollment=offered, by=parent(families[0]), now=timezone.now()),
        lambda: sweep(now=timezone.now()),
        lambda: add_seat(course),
        lambda: buy(cart),
        lost=(OrderRefused,),
    )
    sweep(now=timezone.now() + timedelta(seconds=1))

    assert statuses(places) in {("held", "offered", "waitlisted"), ("lapsed", "offered", "offered")}
    assert isinstance(came_to[3], OrderRefused)


def test_control_without_the_rule_the_public_buys_past_the_line(monkeypatch):
    course = full_class()
    place = join(family(), course)
    cart = create_cart(courses=[course])
    Course.objects.filter(pk=course.pk).update(capacity=2)
    with pytest.raises(OrderRefused):
        buy(cart)

    monkeypatch.setattr(checkout, "seat_numbers_for_sale", free_seat_numbers)
    buy(cart)

    sweep(now=timezone.now())
    assert statuses([place]) == ("waitlisted",)


@rounds
def test_a_seat_is_freed_while_somebody_joins(rounds):
    for _ in range(rounds):
        _freed_while_joined(full_class(), family())
    assert violations() == []


def _freed_while_joined(course, household):
    came_to = at_once(lambda: wait_for(course, household), lambda: free(course), lost=(OrderRefused,))

    assert not course.enrollments.filter(status="waitlisted").exists()
    if isinstance(came_to[0], OrderRefused):  # the seat was free before
        assert not course.enrollments.filter(status="offered").exists()
    else:
        assert statuses([came_to[0]]) == ("offered",)


def test_control_without_lock_and_filling_a_seat_idles(monkeypatch):
    course, household = full_class(), family()
    is_open = waitlist.is_waitlist_open

    def freed_meanwhile(*args, **options):
        found = is_open(*args, **options)
        at_once(lambda: free(course))
        return found

    monkeypatch.setattr(waitlist, "is_waitlist_open", freed_meanwhile)
    monkeypatch.setattr(waitlist, "lock_course", lambda course_id: Course.objects.get(pk=course_id))
    monkeypatch.setattr(waitlist, "fill", lambda *args, **options: [])

    place = wait_for(course, household)

    assert statuses([place]) == ("waitlisted",)
    assert free_seat_numbers(course) == [1]
    sweep(now=timezone.now())  # repairs even that
    assert statuses([place]) == ("offered",)


@rounds
def test_three_sweeps_offer_a_seat_once(rounds):
    for _ in range(rounds):
        course, families = full_class(), [family(name) for name in ("Lopez", "Chen", "Novak")]
        places = [join(household, course) for household in families]
        free(course)
        end_offer(places[0])

        came_to = at_once(*[lambda: sweep(now=timezone.now())] * 3)

        assert came_to == [None] * 3
        assert statuses(places) == ("lapsed", "offered", "waitlisted")
    assert violations() == []
