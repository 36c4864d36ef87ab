"""Placing an order: what it writes, what refuses it, and who gets the last seat."""

from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.utils import timezone
from django_q.models import OrmQ

from billing.checkout.place_order import place_order
from billing.models import Installment
from billing.stripe import gateway
from billing.stripe.page_calls import StripeUnavailable
from csf import money
from csf.dates import local_date
from csf.proofs.invariants import violations
from enrollments.models import Child, Course, Enrollment
from notifications.models import EmailMessage
from orders import checkout
from orders.cart import OrderRefused, add_to_cart
from orders.models import Order, OrderItem, cart_of
from tests.factories import create_cart, create_child, create_course, create_household, create_order
from tests.rivals import all_past, at_once
from tests.shop import open_page


def place(order):
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now())


@pytest.mark.django_db
def test_placing_holds_seats_freezes_prices_and_owes_the_confirmation():
    courses = [create_course(price_cents=14400), create_course(price_cents=9900)]
    order = create_cart(courses=courses)

    place(order)

    assert (order.status, order.total_cents) == ("placed", 24300)
    assert order.held_until - order.placed_at == timedelta(minutes=35)
    assert [
        (item.list_cents, item.net_cents, item.enrollment.status, item.enrollment.seat_number)
        for item in order.items.all()
    ] == [(14400, 14400, "held", 1), (9900, 9900, "held", 1)]
    assert [(part.number, part.amount_cents, part.due_on) for part in order.installments.all()] == [
        (1, 24300, local_date(order.placed_at))
    ]
    assert [message.kind for message in EmailMessage.objects.all()] == ["order_confirmation"]
    assert cart_of(order.household) != order
    Course.objects.update(price_cents=100)
    assert order.items.first().net_cents == 14400


@pytest.mark.django_db
def test_an_order_that_costs_nothing_is_confirmed_at_once():
    order = create_cart(courses=[create_course(price_cents=0)])

    place(order)

    assert order.status == "confirmed"
    assert not Installment.objects.exists()
    assert sorted(message.kind for message in EmailMessage.objects.all()) == [
        "enrollment_confirmation",
        "order_confirmation",
    ]


def full(course, **_):
    create_order(household=create_household(children=1), courses=[course])


def close(course, **_):
    Course.objects.filter(pk=course.pk).update(registration_closes_at=timezone.now())


def unpublish(course, **_):
    Course.objects.filter(pk=course.pk).update(is_published=False)


def raise_age(course, **_):
    Course.objects.filter(pk=course.pk).update(age_min=11)


def enroll_elsewhere(course, order):
    Enrollment.objects.create(
        child=order.items.first().child,
        course=course,
        status="held",
        seat_number=1,
        expires_at=timezone.now(),
    )


def empty(course, order):
    order.items.all().delete()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        (full, "is full"),
        (close, "is closed"),
        (unpublish, "is closed"),
        (raise_age, "is for ages 11 to 12"),
        (enroll_elsewhere, "already has a place"),
        (empty, "is empty"),
    ],
)
def test_what_changed_since_the_cart_was_filled_refuses_the_order_and_loses_nothing(meanwhile, words):
    course = create_course(capacity=1)
    order = create_cart(courses=[create_course(), course])
    meanwhile(course=course, order=order)
    lines, emails = order.items.count(), EmailMessage.objects.count()

    with pytest.raises(OrderRefused, match=words):
        place(order)

    order.refresh_from_db()
    assert order.status == "draft"
    assert (order.items.count(), EmailMessage.objects.count()) == (lines, emails)
    assert not Enrollment.objects.filter(order_item__order=order).exists()
    assert not order.installments.exists()


@pytest.mark.django_db
def test_one_order_may_take_several_seats_of_a_class_but_not_more_than_are_left():
    course = create_course(capacity=2)
    household = create_household(children=3)
    for child in household.children.all()[:2]:
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    place(cart_of(household))
    assert sorted(Enrollment.objects.values_list("seat_number", flat=True)) == [1, 2]

    rival = create_household(children=2)
    for child in rival.children.all():
        add_to_cart(household=rival, child=child, course=course, now=timezone.now())
    with pytest.raises(OrderRefused, match="is full"):
        place(cart_of(rival))


@pytest.mark.django_db
def test_placing_twice_is_refused():
    order = create_order()

    with pytest.raises(OrderRefused, match="already been placed"):
        place(order)

    assert order.transitions.count() == 1


def test_a_rolled_back_order_leaves_no_email_no_seat_and_no_task(committed_db):
    order = create_cart()

    with transaction.atomic():
        place(order)
        transaction.set_rollback(True)

    order.refresh_from_db()
    assert order.status == "draft"
    assert not EmailMessage.objects.exists()
    assert not Enrollment.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"status": "held", "seat_number": None, "expires_at": timezone.now()},
        {"status": "held", "seat_number": 0, "expires_at": timezone.now()},
        {"status": "held", "seat_number": 1, "expires_at": None},
        {"status": "active", "seat_number": None},
        {"status": "active", "seat_number": 1, "expires_at": timezone.now()},
        {"status": "released", "seat_number": 1},
        {"status": "daydreaming"},
    ],
)
def test_the_database_refuses_impossible_enrollments(fields):
    child = create_child(household=create_household(ages=[9]))

    with pytest.raises(IntegrityError):
        Enrollment.objects.create(child=child, course=create_course(), **fields)


@pytest.mark.django_db
def test_the_database_refuses_a_seat_sold_twice_and_a_child_twice_in_a_class():
    course, held = create_course(), {"status": "held", "expires_at": timezone.now()}
    one, two = create_household(children=2).children.all()
    Enrollment.objects.create(child=one, course=course, seat_number=1, **held)

    with pytest.raises(IntegrityError, match="seat_sold_once"), transaction.atomic():
        Enrollment.objects.create(child=two, course=course, seat_number=1, **held)
    with pytest.raises(IntegrityError, match="child_once_in_course"), transaction.atomic():
        Enrollment.objects.create(child=one, course=course, seat_number=2, **held)


RIVALS = 32


def race_for_the_last_seat():
    """32 families with a line in their cart, one seat left; how many orders were placed."""
    course = create_course(capacity=1)
    orders = [create_cart(courses=[course]) for _ in range(RIVALS)]
    came_to = at_once(*(partial(place, order) for order in orders), lost=(OrderRefused,))
    return course, came_to.count(None)


@pytest.mark.xdist_group("races")
def test_of_32_rivals_one_gets_the_last_seat(committed_db):
    course, placed = race_for_the_last_seat()

    assert placed == 1
    assert course.enrollments.occupying().count() == 1
    assert Order.objects.filter(status="placed").count() == 1
    assert OrderItem.objects.filter(enrollment__isnull=False).count() == 1
    assert EmailMessage.objects.count() == 1


@pytest.mark.xdist_group("races")
def test_without_its_guards_the_last_seat_is_oversold(committed_db, monkeypatch):
    """The negative control: with lock and index gone each of them sees the seat free and takes it."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX enrollments_enrollment_seat_sold_once")
    monkeypatch.setattr(Course.objects.none().__class__, "select_for_update", lambda self, **options: self)
    free_seats = checkout.seat_numbers_for_sale
    monkeypatch.setattr(checkout, "seat_numbers_for_sale", all_past(RIVALS, free_seats))

    course, placed = race_for_the_last_seat()

    assert placed == course.enrollments.occupying().count() == RIVALS


@pytest.mark.django_db
def test_a_foreign_child_cannot_be_put_into_a_cart(client):
    household, other = create_household(), create_household()
    course = create_course()
    client.force_login(household.guardians.get())

    answer = client.post(course.get_absolute_url(), {"child": str(other.children.get().public_id)})

    assert answer.status_code == 200
    assert "Choose one of your children." in answer.text
    assert not OrderItem.objects.exists()
    assert Child.objects.count() == 2


def test_hold_lines_needs_a_transaction(committed_db):
    order = create_cart()

    with pytest.raises(AssertionError):
        checkout.hold_lines(order=order, now=timezone.now(), held_until=timezone.now(), paid_children=[])


def test_an_order_is_in_the_currency_that_its_prices_were_shown_in(db, settings):
    """The cart is older than the change of CURRENCY. What was owed before it is for a person."""
    cart, owed = create_cart(), create_order()
    settings.CURRENCY = "eur"

    place_order(order=cart, by=cart.household.lead, now=timezone.now())

    cart.refresh_from_db()
    assert cart.currency == "eur"
    assert [(row.number, row.ids) for row in violations()] == [("M9", [owed.installments.get().pk])]


@pytest.mark.parametrize(("currency", "subunits"), [("jpy", 1), ("kwd", 1000)])
@pytest.mark.django_db
def test_what_a_family_is_shown_is_what_stripe_charges(shop, settings, monkeypatch, currency, subunits):
    """Stripe counts `unit_amount` in the smallest unit of the currency: yen, or fils."""
    settings.CURRENCY = currency
    money._money_text.cache_clear()
    asked = []
    make = gateway.create_checkout_session
    monkeypatch.setattr(
        gateway,
        "create_checkout_session",
        lambda params, *, key: asked.append(params) or make(params, key=key),
    )
    order = create_order(courses=[create_course(price_cents=14400)])
    with suppress(StripeUnavailable):  # the stand-in may not know this currency
        open_page(order)

    [price] = [line["price_data"] for line in asked[0]["line_items"]]
    charged = price["unit_amount"] / subunits
    shown = money.money_text(order.total_cents)
    money._money_text.cache_clear()
    assert price["currency"] == currency
    digits = float("".join(c for c in shown if c.isdigit() or c == "."))
    assert digits == charged, f"the family is shown {shown}, Stripe charges {charged} {currency}"
