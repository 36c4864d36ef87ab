"""Who joins a class that has begun pays for the sessions that are left, and gets back shares of that."""

import datetime
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment, outcome_of
from billing.changes.transfer import quote_transfer
from billing.checkout.place_order import place_order
from billing.models import Cancellation, Terms
from csf.proofs.invariants import violations
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from orders.cart import add_to_cart
from orders.models import OrderItem, PromoCode, cart_of
from orders.refusal import OrderRefused
from tests.factories import create_cart, create_course, create_household, create_order, shift
from tests.pages import parent_of, words
from tests.shop import hear, open_page

pytestmark = pytest.mark.django_db


def begun(held, **fields):
    """A class of 10 sessions of which so many are over; the next one is in some days."""
    course = create_course(sessions=10, **fields)
    return shift(course, -21 - 7 * held + 3)


@pytest.mark.parametrize(
    ("held", "fields", "paid"),
    [
        (0, {}, 10000),
        (1, {}, 9000),
        (7, {}, 3000),
        (9, {}, 1000),
        (7, {"prorates_late_joiners": False}, 10000),
        (4, {"price_cents": 9999}, 5999),  # 5999.4
        (5, {"price_cents": 9999}, 5000),  # 4999.5: half a cent is rounded up
        (7, {"price_cents": 0}, 0),
        (9, {"price_cents": 400}, 0),  # too little for a card: let go
    ],
)
def test_a_late_joiner_pays_for_the_sessions_that_are_left(held, fields, paid):
    order = create_order(courses=[begun(held, **{"price_cents": 10000} | fields)])
    item = order.items.get()
    order.refresh_from_db()
    assert order.total_cents == paid
    reductions = [(row["label"], row["cents"]) for row in item.explanation]
    cut = (item.list_cents or 0) - paid
    label = f"Already started: {10 - held} of 10 sessions left"
    assert reductions == ([(label, cut)] if cut else [])
    assert violations() == []


def test_a_session_that_is_called_off_is_not_sold():
    course = begun(2, price_cents=9000)
    last = course.sessions.order_by("-held_on").first()
    course.sessions.filter(pk=last.pk).update(cancelled_at=timezone.now())
    order = create_order(courses=[course])
    order.refresh_from_db()
    assert order.total_cents == 7000  # 7 of the 9 that take place


def test_nothing_is_sold_of_a_class_whose_last_session_has_begun():
    """On its last day, some minutes after the start."""
    course = begun(9)
    course.sessions.filter(held_on__gt=timezone.localdate()).update(
        held_on=timezone.localdate(), start_time=datetime.time(0, 0)
    )
    with pytest.raises(OrderRefused, match="no sessions left"):
        create_cart(courses=[Course.objects.get(pk=course.pk)])


def test_discounts_come_off_what_is_left():
    household = create_household(children=2)
    PromoCode.objects.create(code="TEN", percent_bps=1000)
    for child in household.children.all():
        add_to_cart(household=household, child=child, course=begun(5, price_cents=10000), now=timezone.now())
    order = cart_of(household)
    order.promo_code = PromoCode.objects.get()
    order.save()
    place_order(order=order, by=household.guardians.get(), now=timezone.now())
    lines = OrderItem.objects.order_by("pk").values_list(
        "list_cents", "begun_cents", "sibling_cents", "promo_cents", "net_cents"
    )
    assert list(lines) == [(10000, 5000, 0, 500, 4500), (10000, 5000, 1250, 375, 3375)]


def test_what_a_late_joiner_gets_back_is_a_share_of_what_was_paid(shop):
    order = create_order(courses=[begun(6, price_cents=10000)])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    place = Enrollment.objects.get(order_item__order=order)
    late = timezone.now() + timedelta(days=18)  # of four sessions bought, three are over
    outcome = outcome_of(enrollment=place, now=late)
    assert (outcome.sessions_left, outcome.sessions, outcome.value_cents) == (1, 4, 1000)
    early = outcome_of(enrollment=place, now=timezone.now() + timedelta(days=1), terms=Terms.PRORATED)
    assert (early.sessions_left, early.sessions, early.value_cents) == (4, 4, 4000)
    other = create_course(sessions=10, price_cents=10000)
    move = quote_transfer(enrollment=place, course=other, now=timezone.now())
    assert (move.list_cents, move.price_cents, move.left_cents) == (10000, 10000, 4000)
    cancel_enrollment(enrollment=place, by=None, reason="x", now=late, terms=Terms.PRORATED)
    assert (Cancellation.objects.get().credit_cents, violations()) == (1000, [])


def test_every_page_and_email_shows_the_sessions_that_are_left_and_the_familys_first_day(shop):
    course = begun(7, price_cents=10000)
    first = next(row for row in course.meetings() if row.starts_at > timezone.now())
    household = create_household()
    family = parent_of(household)
    shown = f"{first.held_on:%a, %b} {first.held_on.day}, {first.held_on.year}"
    for address in (reverse("catalog"), course.get_absolute_url()):
        page = words(family.get(address))
        assert "$30.00" in page
        assert "3 of 10 sessions" in page
        assert shown in page
    add_to_cart(household=household, child=household.children.get(), course=course, now=timezone.now())
    for address in (reverse("cart"), reverse("checkout")):
        page = words(family.get(address))
        assert "3 of 10 sessions left" in page
        assert f"first session {shown}" in page
    order = cart_of(household)
    place_order(order=order, by=household.guardians.get(), now=timezone.now())
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    page = words(family.get(order.get_absolute_url()))
    assert "3 of 10 sessions left" in page
    assert f"first session {shown}" in page
    emails = {row.kind: row.context for row in EmailMessage.objects.all()}
    [line] = emails["order_confirmation"]["lines"]
    assert (line["first_on"], line["sessions"]) == (first.held_on.isoformat(), 3)
    enrolled = emails["enrollment_confirmation"]
    assert (enrolled["first_on"], enrolled["sessions"]) == (first.held_on.isoformat(), 3)
