"""The full price within 15 days, and the setting that takes the sessions held by then off it."""

import datetime
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.place_order import place_order
from billing.ledger.credits import grant
from billing.models import Cancellation, CreditCause, Refund
from enrollments.models import CourseSession, Enrollment
from tests.factories import create_cart, create_course, create_household, create_order, shift
from tests.pages import parent_of, words
from tests.shop import hear, open_page

pytestmark = pytest.mark.django_db


def camp(**fields):
    """Five mornings, the first one in five days."""
    today = timezone.localdate()
    course = create_course(
        starts_on=today + timedelta(days=5), ends_on=today + timedelta(days=9), weekday=0, **fields
    )
    for day in range(5, 10):
        CourseSession.objects.create(
            course=course,
            held_on=today + timedelta(days=day),
            start_time=datetime.time(9),
            end_time=datetime.time(12),
        )
    return course


def given_up(course, *, days, shop=None):
    """Bought with credit, or by card in the shop; given up so many days later at night."""
    household = create_household()
    if shop:
        order = create_order(household=household, courses=[course])
        shop.pay(open_page(order))
        hear(shop, "payment_intent.succeeded")
    else:
        grant(
            household=household,
            cents=30000,
            cause=CreditCause.GRANTED,
            reason="x",
            on=timezone.localdate(),
        )
        order = create_cart(household=household, courses=[course])
        place_order(order=order, by=household.guardians.get(), now=timezone.now(), use_credit=True)
    evening = timezone.localtime().replace(hour=20) + timedelta(days=days)
    cancel_enrollment(
        enrollment=Enrollment.objects.get(order_item__order=order),
        by=household.guardians.get(),
        reason="was nice",
        now=evening,
    )
    return household


@pytest.mark.parametrize(
    ("days", "is_capped", "left"),
    [
        (9, True, 0),
        (9, False, 30000),
        (4, True, 30000),
        (5, True, 24000),
        (7, True, 12000),
        (7, False, 30000),
    ],
)
def test_a_class_that_was_attended_to_its_last_day_gives_no_full_credit_back_at_once(
    settings, days, is_capped, left
):
    """A camp of one week, bought with credit five days before it begins."""
    settings.REFUND_LESS_SESSIONS_HELD = is_capped
    household = given_up(camp(price_cents=30000), days=days)
    assert household.credits.balance_cents() == left


@pytest.mark.parametrize(("is_capped", "back"), [(True, 12000), (False, 30000)])
def test_what_goes_back_to_a_card_is_capped_alike(shop, settings, is_capped, back):
    settings.REFUND_LESS_SESSIONS_HELD = is_capped
    given_up(camp(price_cents=30000), days=7, shop=shop)
    assert (Refund.objects.get().amount_cents, Cancellation.objects.get().credit_cents) == (back, 0)


def test_a_late_joiner_loses_only_sessions_held_since_the_order(shop, settings):
    settings.REFUND_LESS_SESSIONS_HELD = True
    course = shift(camp(price_cents=30000), -6)  # begun; the last one is in three days
    given_up(course, days=2, shop=shop)
    assert (Refund.objects.get().amount_cents, Cancellation.objects.get().value_cents) == (6000, 6000)


def test_the_pages_say_so(shop, settings):
    settings.REFUND_LESS_SESSIONS_HELD = True
    order = create_order(courses=[camp(price_cents=30000)])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    family = parent_of(order.household)
    rule = "you get the full price back, less any sessions held by then"
    assert rule in words(family.get(order.items.get().course.get_absolute_url()))
    place = Enrollment.objects.get(order_item__order=order)
    page = words(family.get(reverse("cancel_enrollment", args=[place.public_id])))
    assert "the price of the remaining sessions: $300.00 for 5 of 5 sessions" in page
