"""Checkout, order, account and the two ways to cancel, as a parent sees them."""

import pytest
import time_machine
from django.utils import timezone

from billing.checkout import payment_page
from csf.dates import local_date
from csf.templatetags.csf_format import day
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from orders.models import Order, PromoCode
from tests.factories import (
    create_cart,
    create_child,
    create_course,
    create_guardian,
    create_household,
    create_order,
)
from tests.pages import parent_of, queries, words
from tests.shop import hear, open_page, outcome

pytestmark = pytest.mark.django_db


def form_of(page):
    """The hidden fields of the checkout page."""
    return {"order": str(page.context["order"].public_id), "total": str(page.context["quote"].total_cents)}


def enrolled_order(courses=1):
    """An order that is confirmed at once, since it costs nothing."""
    return create_order(courses=[create_course(price_cents=0) for _ in range(courses)])


def test_checkout_explains_the_price_and_sends_the_total_along():
    order = create_cart(courses=[create_course(price_cents=10_000)])
    PromoCode.objects.create(code="SPRING", percent_bps=1000)
    client = parent_of(order.household)
    client.post("/cart/", {"code": "SPRING"})

    page = client.get("/checkout/")

    assert "Promo code SPRING -$10.00 Your price $90.00" in words(page)
    assert "Subtotal $100.00 Discounts -$10.00 Total $90.00" in words(page)
    assert "We hold your places for 35 minutes" in words(page)
    assert f'name="order" value="{order.public_id}"' in page.text
    assert 'name="total" value="9000"' in page.text


def test_paying_leads_to_stripe_and_the_order_keeps_its_explanation(shop):
    order = create_cart(courses=[create_course(price_cents=10_000)])
    PromoCode.objects.create(code="SPRING", percent_bps=1000)
    client = parent_of(order.household)
    client.post("/cart/", {"code": "SPRING"})

    answer = client.post("/checkout/", form_of(client.get("/checkout/")))

    assert answer.url.startswith(shop.server.url)
    page = client.get(order.get_absolute_url())
    assert "Promo code SPRING -$10.00 Your price $90.00" in words(page)
    assert "Your places are held until" in words(page)
    assert "Cancel this order" in words(page)


def test_a_price_that_changed_since_the_page_was_shown_is_not_charged():
    order = create_cart()
    client = parent_of(order.household)
    sent = form_of(client.get("/checkout/"))
    Course.objects.update(price_cents=20_000)

    answer = client.post("/checkout/", sent, follow=True)

    assert "The price has changed since you saw it." in words(answer)
    assert "Total $200.00" in words(answer)
    order.refresh_from_db()
    assert order.status == "draft"


def test_pressing_twice_and_going_back_give_one_order(shop):
    order = create_cart()
    client = parent_of(order.household)
    sent = form_of(client.get("/checkout/"))

    first = client.post("/checkout/", sent)
    second = client.post("/checkout/", sent)

    assert first.url.startswith(shop.server.url)
    assert second.url == order.get_absolute_url()
    assert client.get("/checkout/").url == "/cart/"
    assert "Your cart is empty" in words(client.get("/cart/"))
    assert Order.objects.placed().count() == 1
    assert EmailMessage.objects.count() == 1


@pytest.mark.parametrize("order", ["", "x", "\x00", "5d2f4a52-0d0e-4d0b-9a86-6a4e6f0c9c11"])
def test_a_crafted_order_leads_to_the_cart(order):
    client = parent_of(create_cart().household)

    assert client.post("/checkout/", {"order": order, "total": "1"}).url == "/cart/"
    assert not Order.objects.placed().exists()


def test_a_child_whose_contact_was_taken_away_is_refused_at_the_end():
    order = create_cart()
    client = parent_of(order.household)
    sent = form_of(client.get("/checkout/"))
    order.household.children.get().emergency_contacts.all().delete()

    answer = client.post("/checkout/", sent, follow=True)

    assert "Please add an emergency contact for" in words(answer)
    assert not Order.objects.placed().exists()


def test_after_two_hours_the_places_are_no_longer_held(monkeypatch):
    order = create_order()
    Order.objects.update(held_until=timezone.now() + timezone.timedelta(minutes=5))  # a page lives longer
    monkeypatch.setattr(payment_page, "LONGEST_HOLD", timezone.timedelta())

    answer = parent_of(order.household).post(f"{order.get_absolute_url()}pay/", follow=True)

    assert "These places can no longer be held; please order again." in words(answer)


def test_an_unpaid_order_is_cancelled_after_asking(shop):
    order = create_order(courses=[create_course(), create_course()])
    open_page(order)
    client = parent_of(order.household)
    url = f"{order.get_absolute_url()}cancel/"

    assert "Cancel this order?" in words(client.get(url))
    answer = client.post(url, follow=True)

    assert "is cancelled, and its places have been released." in words(answer)
    assert outcome(order) | {"emails": 0} == {
        "order": "cancelled",
        "installments": ["cancelled"],
        "attempts": ["not_executed"],
        "payments": [],
        "seats": ["released", "released"],
        "tasks": [],
        "emails": 0,
    }
    again = client.post(url, follow=True)
    assert "there is nothing to cancel" in words(again)
    assert order.transitions.filter(to_status="cancelled").count() == 1


def test_an_order_that_was_paid_meanwhile_is_confirmed_and_not_cancelled(shop):
    order = create_order()
    shop.pay(open_page(order))

    answer = parent_of(order.household).post(f"{order.get_absolute_url()}cancel/", follow=True)

    assert "Your payment arrived; the order is confirmed." in words(answer)
    assert outcome(order)["order"] == "confirmed"


def test_while_stripe_does_not_answer_nothing_is_cancelled(shop):
    order = create_order()
    open_page(order)
    shop.server.control("POST", "/_faults", [{"path": "/v1/checkout/*", "kind": "error_before"}])

    answer = parent_of(order.household).post(f"{order.get_absolute_url()}cancel/", follow=True)

    assert "please try again in a moment." in words(answer)
    order.refresh_from_db()
    assert order.status == "placed"


def test_giving_up_a_place_says_what_will_happen_and_happens_once():
    order = enrolled_order(courses=2)
    client = parent_of(order.household)
    place = Enrollment.objects.order_by("pk")[0]
    url = f"/account/enrollments/{place.public_id}/cancel/"
    assert f'href="{url}"' in client.get(order.get_absolute_url()).text
    page = client.get(url)
    assert "This class was free, so there is nothing to refund." in words(page)

    typed = {"fingerprint": page.context["outcome"].fingerprint, "reason": "We are moving\r\n<b>away</b>"}
    answer = client.post(url, typed, follow=True)

    assert answer.redirect_chain == [(order.get_absolute_url(), 302)]
    assert f"is no longer enrolled in {place.course}" in words(answer)
    place.refresh_from_db()
    assert (place.status, place.seat_number) == ("cancelled", None)
    [moved] = place.transitions.filter(to_status="cancelled")
    assert (moved.by, moved.reason) == (order.household.guardians.get(), "We are moving\r\n<b>away</b>")
    order.refresh_from_db()
    assert order.status == "confirmed"

    again = client.post(url, follow=True)
    assert "There is no longer a place in" in words(again)
    assert client.get(url).url == order.get_absolute_url()
    assert place.transitions.filter(to_status="cancelled").count() == 1


def test_the_last_place_given_up_cancels_the_order():
    order = enrolled_order()
    place = Enrollment.objects.get()

    client, url = parent_of(order.household), f"/account/enrollments/{place.public_id}/cancel/"
    client.post(url, {"fingerprint": client.get(url).context["outcome"].fingerprint})

    order.refresh_from_db()
    assert order.status == "cancelled"
    assert place.transitions.last().reason == "cancelled by the family"


@pytest.mark.parametrize("reason", ["x" * 301, "a\x00b"])
def test_a_reason_that_cannot_be_kept_is_told_and_nothing_happens(reason):
    order = enrolled_order()
    place = Enrollment.objects.get()

    answer = parent_of(order.household).post(
        f"/account/enrollments/{place.public_id}/cancel/", {"reason": reason}
    )

    assert answer.context["form"].errors["reason"]
    place.refresh_from_db()
    assert place.status == "active"


def test_a_held_place_has_no_cancel_link_of_its_own():
    order = create_order()
    place = Enrollment.objects.get()
    client = parent_of(order.household)

    assert "/account/enrollments/" not in client.get(order.get_absolute_url()).text
    assert client.post(f"/account/enrollments/{place.public_id}/cancel/").url == order.get_absolute_url()
    place.refresh_from_db()
    assert place.status == "held"


def test_a_class_that_is_over_cannot_be_given_up():
    order = enrolled_order()
    place = Enrollment.objects.get()
    yesterday = local_date(timezone.now()) - timezone.timedelta(days=1)
    Course.objects.update(starts_on=yesterday, ends_on=yesterday)
    client = parent_of(order.household)

    answer = client.post(f"/account/enrollments/{place.public_id}/cancel/", follow=True)

    assert "There is no longer a place in" in words(answer)
    assert "Cancel this class" not in words(answer)
    place.refresh_from_db()
    assert place.status == "active"


def test_a_place_that_moved_while_the_parent_pressed_is_told(monkeypatch):
    order = enrolled_order()
    place = Enrollment.objects.get()
    client = parent_of(order.household)
    cancel = Enrollment.cancel

    def too_late(self, **given):
        Enrollment.objects.filter(pk=self.pk).update(status="completed", seat_number=None)
        cancel(self, **given)

    monkeypatch.setattr(Enrollment, "cancel", too_late)
    answer = client.post(f"/account/enrollments/{place.public_id}/cancel/", follow=True)

    assert "This place changed a moment ago." in words(answer)


def test_the_account_shows_what_is_due_and_after_paying_that_nothing_is(shop):
    order = create_order(courses=[create_course(price_cents=14400)])
    client = parent_of(order.household)
    assert "Due now $144.00 Total balance $144.00" in words(client.get("/account/"))
    assert 'href="/account/children/"' in client.get("/account/").text

    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")

    assert "You have nothing to pay." in words(client.get("/account/"))


def test_a_confirmed_order_says_what_comes_next():
    course = create_course(price_cents=0, sessions=10, what_to_bring="A towel\nGoggles")
    order = create_order(courses=[course])
    client = parent_of(order.household)
    child = order.household.children.get()
    first = course.sessions.first()

    page = client.get(order.get_absolute_url())

    assert f"First session {day(first.held_on)} , 4:30 PM" in words(page).replace("\xa0", " ")
    assert "Where Harbour Pool 3 Quay Road Show on a map" in words(page)
    assert "query=Harbour+Pool%2C+3+Quay+Road" in page.text
    assert "Bring A towel Goggles" in words(page)
    assert "Invite the other parent" in words(page)
    assert "Thank you! Your order is confirmed" in words(page)
    calendar = client.get(f"/account/enrollments/{Enrollment.objects.get().public_id}/class.ics")
    assert calendar["Content-Type"].startswith("text/calendar")
    assert f"SUMMARY:{course.title} ({child.first_name})" in calendar.text

    create_guardian(household=order.household)
    first.__class__.objects.filter(pk=first.pk).update(cancelled_at=timezone.now())
    page = words(client.get(order.get_absolute_url()))
    assert f"First session {day(course.sessions.all()[1].held_on)}" in page
    assert "Invite the other parent" not in page
    with time_machine.travel(timezone.now() + timezone.timedelta(days=29)):
        assert "Next session" in words(client.get(order.get_absolute_url()))
    with time_machine.travel(timezone.now() + timezone.timedelta(weeks=30)):
        assert " session " not in words(client.get(order.get_absolute_url()))


def test_the_calendar_file_of_another_family_or_of_a_place_given_up_is_not_found():
    order = create_order(courses=[create_course(price_cents=0, sessions=10)])
    place = Enrollment.objects.get()
    url = f"/account/enrollments/{place.public_id}/class.ics"

    assert parent_of(create_household()).get(url).status_code == 404
    assert parent_of(order.household).get(url).status_code == 200
    place.cancel(by=None, reason="x")
    assert parent_of(order.household).get(url).status_code == 404


def test_cancelling_stands_back_with_its_rule():
    order = create_order(courses=[create_course(price_cents=0), create_course(price_cents=5000)])
    order.confirm(reason="paid")
    page = parent_of(order.household).get(order.get_absolute_url())

    assert page.text.count('<details class="more">') == 2
    assert words(page).count("you get the full price back.") == 1  # the other was free


def test_the_pages_take_the_same_queries_for_1_and_3_rows():
    household = create_household()
    client = parent_of(household)
    create_cart(household=household, courses=[create_course()])
    checkout_page = queries(client, "/checkout/")
    create_cart(household=household, courses=[create_course(), create_course()])
    assert queries(client, "/checkout/") == checkout_page <= 12

    small = create_order(household=create_household())
    small_client = parent_of(small.household)
    order_page = queries(small_client, small.get_absolute_url())
    account_page = queries(small_client, "/account/")
    create_child(household=small.household)
    big = create_order(household=small.household, courses=[create_course() for _ in range(3)])
    create_order(household=small.household)

    assert queries(small_client, big.get_absolute_url()) == order_page <= 12
    assert queries(small_client, "/account/") == account_page <= 12
