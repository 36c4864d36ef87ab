"""A place that its family offers to the waitlist after the time for refunds."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.ledger.refund_sending import refund_waiting
from billing.models import Cancellation, Refund
from csf.proofs.invariants import violations
from enrollments.models import Course, Enrollment
from enrollments.models.seats import seat_numbers_for_sale
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_course, create_order
from tests.pages import parent_of
from tests.shop import hear, open_page
from tests.waitlist import accept, end_offer, family, join, minute, order_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(shop):
    """The one seat of a class, paid for 16 days ago."""
    course = create_course(capacity=1, sessions=8)
    order = create_order(household=family("Okafor"), courses=[course])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    return long_ago(order)


def long_ago(order):
    Order.objects.filter(pk=order.pk).update(placed_at=timezone.now() - timedelta(days=16))
    return Enrollment.objects.get(order_item__order=order)


def press(place, name):
    parent = parent_of(place.child.household)
    return parent.post(reverse(name, args=[place.public_id]), follow=True)


def states(course):
    return sorted(course.enrollments.values_list("status", flat=True))


def test_when_somebody_has_paid_the_money_follows_by_itself(shop, place):
    page = parent_of(place.child.household).get(reverse("offer_place", args=[place.public_id]))
    assert "your order is reduced by $144.00" in page.text
    assert "Nobody is on the waitlist" in page.text
    answer = press(place, "offer_place")
    assert "The place is on offer." in answer.text
    assert states(place.course) == ["active"]

    waiting = family("Lopez")
    joined = join(waiting, place.course)
    minute()
    assert states(place.course) == ["offered", "on_offer"]
    assert violations() == []
    accept(waiting, joined)
    assert states(place.course) == ["held", "on_offer"]
    shop.pay(open_page(order_of(joined)))
    hear(shop, "payment_intent.succeeded")
    minute()
    refund_waiting()

    assert states(place.course) == ["active", "cancelled"]
    refund = Refund.objects.get()
    assert (refund.status, refund.amount_cents, refund.approved_by) == ("succeeded", 14400, None)
    assert sum(row["amount_cents"] for row in shop.server.books()["refunds"]) == 14400
    told = EmailMessage.objects.filter(recipient=place.child.household.guardians.get()).order_by("pk")
    assert [mail.kind for mail in told][-2:] == ["cancellation_confirmation", "refund_issued"]
    assert violations() == []


def test_nobody_takes_it_and_the_place_comes_back(place):
    press(place, "offer_place")
    joined = join(family("Lopez"), place.course)
    minute()
    place.refresh_from_db()
    assert (place.status, place.seat_number) == ("on_offer", None)
    assert "deciding whether" in press(place, "keep_place").text.replace("\n", " ")

    end_offer(joined)
    minute()

    place.refresh_from_db()
    assert (place.status, place.seat_number) == ("active", 1)
    assert states(place.course) == ["active", "lapsed"]
    assert "keeps the place" in press(place, "keep_place").text
    join(family("Kim"), place.course)
    minute()
    assert states(place.course) == ["active", "lapsed", "waitlisted"]
    assert violations() == []


def test_the_seat_goes_on_to_the_next_and_is_never_for_sale(place):
    press(place, "offer_place")
    first, second = (join(family(name), place.course) for name in ("Lopez", "Kim"))
    minute()
    end_offer(first)
    minute()

    second.refresh_from_db()
    place.refresh_from_db()
    assert (second.status, place.status) == ("offered", "on_offer")
    Course.objects.filter(pk=place.course_id).update(capacity=2)
    assert seat_numbers_for_sale(Course.objects.get(pk=place.course_id)) == []
    minute()
    place.refresh_from_db()
    assert place.status == "active"  # a seat was added: it is not needed
    assert violations() == []


@pytest.mark.parametrize("change", ["early", "begun", "given up"])
def test_it_is_refused_when_it_makes_no_sense(place, change):
    if change == "early":
        Order.objects.update(placed_at=timezone.now())
    elif change == "begun":
        Course.objects.update(starts_on=timezone.localdate())
    else:
        place.cancel(by=None, reason="moved away")

    assert "cannot be offered" in press(place, "offer_place").text
    assert not Enrollment.objects.filter(offered_to_waitlist_at__isnull=False).exists()
    assert not Cancellation.objects.exists()
