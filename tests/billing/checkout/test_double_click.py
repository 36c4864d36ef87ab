"""Impatient parents and answers that get lost: one order, one attempt, one page at Stripe."""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from billing.checkout.holds import expire_holds
from billing.models import ChargeAttempt
from billing.stripe import gateway
from enrollments.models import Household
from notifications.models import EmailMessage
from orders.models import Order, OrderStatus
from tests.factories import create_cart, create_course, create_order
from tests.pages import parent_of, words
from tests.rivals import at_once
from tests.shop import PAID, UNPAID, hear, open_page, outcome
from tests.waiting import PATIENCE_S

CLICKS = 8
SESSIONS = "/v1/checkout/sessions"
SLOW = {"path": SESSIONS, "kind": "delay", "seconds": 1.6, "times": 1}  # longer than the SDK tries again


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Eight clicks on a busy machine may take longer than the five seconds that a page gives to Stripe."""
    monkeypatch.setattr(gateway, "_timeout_s", lambda: (PATIENCE_S, PATIENCE_S))


def click(household, url, data=None):
    """The same form posted CLICKS times at once; where each answer leads."""
    clients = [parent_of(household) for _ in range(CLICKS)]
    answers = at_once(*(partial(client.post, url, data or {}) for client in clients))
    return [answer.headers.get("Location", str(answer.status_code)) for answer in answers]


def sessions(shop):
    """All that Stripe has made."""
    return list(shop.server.state.store.tables["checkout.session"].values())


def order_form(order, total="28800"):
    return {"order": str(order.public_id), "total": total}


def pay_url(order):
    return f"/account/orders/{order.public_id}/pay/"


def assert_keys_name_rows_of_ours(shop):
    rows = {f"cus:{household.public_id}" for household in Household.objects.all()}
    for attempt in ChargeAttempt.objects.all():
        rows |= {f"co:{attempt.public_id}", f"exp:{attempt.public_id}"}
    keys = {post["key"] for post in shop.server.books()["posts"]}
    assert keys
    assert keys <= rows


def two_class_cart():
    return create_cart(courses=[create_course(), create_course()])


def two_class_order():
    return create_order(courses=[create_course(), create_course()])


@pytest.mark.xdist_group("races")
@pytest.mark.parametrize("faults", [[], [SLOW]], ids=["quick", "slow"])
def test_eight_clicks_on_place_order_make_one_order_and_one_page(committed_db, shop, faults):
    order = two_class_cart()
    shop.server.control("POST", "/_faults", faults)

    led = click(order.household, "/checkout/", order_form(order))

    [session] = sessions(shop)
    assert outcome(order) == UNPAID
    assert Order.objects.exclude(status=OrderStatus.DRAFT).count() == 1
    assert set(led) <= {session["url"], order.get_absolute_url()}
    assert session["url"] in led
    assert (session["amount_total"], session["client_reference_id"]) == (28800, str(order.public_id))
    assert_keys_name_rows_of_ours(shop)


@pytest.mark.xdist_group("races")
@pytest.mark.parametrize("faults", [[], [SLOW]], ids=["quick", "slow"])
def test_eight_clicks_on_pay_now_lead_to_one_page_which_can_be_paid(committed_db, shop, faults):
    order = two_class_order()
    shop.server.control("POST", "/_faults", faults)

    led = click(order.household, pay_url(order))

    [session] = sessions(shop)
    assert outcome(order) == UNPAID
    assert set(led) <= {session["url"], order.get_absolute_url()}
    assert open_page(order) == session["url"]
    shop.pay(session["url"])
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    assert outcome(order) == PAID
    assert_keys_name_rows_of_ours(shop)


def test_an_old_checkout_form_leads_to_the_order_that_it_made(shop):
    order = two_class_cart()
    client = parent_of(order.household)
    page = client.post("/checkout/", order_form(order)).url
    create_cart(household=order.household)  # a new cart must not be placed by the old form

    again = client.post("/checkout/", order_form(order))
    shop.pay(page)
    hear(shop, "payment_intent.succeeded")
    after_paying = client.post("/checkout/", order_form(order))

    assert again.url == after_paying.url == order.get_absolute_url()
    assert outcome(order) == PAID
    assert order.household.orders.carts().count() == 1
    assert len(sessions(shop)) == 1


def test_a_form_with_an_old_total_places_nothing(shop):
    order = two_class_cart()
    client = parent_of(order.household)

    answer = client.post("/checkout/", order_form(order, total="100"), follow=True)

    order.refresh_from_db()
    assert order.status == "draft"
    assert "The price has changed" in words(answer)
    assert sessions(shop) == []


LOST = {
    "500, not stored": {"kind": "error_after", "stored": False},
    "500, stored": {"kind": "error_after", "stored": True},
    "500 before, not stored": {"kind": "error_before", "stored": False},
    "cut after": {"kind": "drop_after"},
    "cut before": {"kind": "drop_before"},
    "rate limit": {"kind": "rate_limit"},
    "conflict": {"kind": "conflict"},
}


@pytest.mark.parametrize("fault", LOST)
def test_an_answer_that_got_lost_is_healed_by_pressing_pay_now_again(shop, fault):
    order = two_class_cart()
    client = parent_of(order.household)
    shop.server.control("POST", "/_faults", [{"path": SESSIONS, "method": "POST"} | LOST[fault]])

    lost = client.post("/checkout/", order_form(order), follow=True)

    assert "is not responding right now" in words(lost)
    assert "Pay $" in words(lost)
    assert lost.redirect_chain == [(order.get_absolute_url(), 302)]
    assert outcome(order) == UNPAID | {"attempts": ["unknown"]}

    shop.server.control("DELETE", "/_faults")
    page = client.post(pay_url(order)).url

    [session] = sessions(shop)
    assert page == session["url"]
    assert outcome(order) == UNPAID
    [attempt] = ChargeAttempt.objects.all()
    asked = [post for post in shop.server.books()["posts"] if post["path"] == SESSIONS]
    assert {post["key"] for post in asked} == {f"co:{attempt.public_id}"}
    assert len({post["body_sha256"] for post in asked}) == 1
    shop.pay(page)
    hear(shop, "payment_intent.succeeded")
    assert outcome(order) == PAID
    assert_keys_name_rows_of_ours(shop)


@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_stored_500_does_not_hold_the_seats_for_longer_than_its_page_could_live(shop, kind):
    """Stripe repeats a stored 500 for a day, whatever happened behind it."""
    order = two_class_order()
    fault = {"path": SESSIONS, "method": "POST", "kind": kind, "stored": True}
    shop.server.control("POST", "/_faults", [fault])
    parent_of(order.household).post(pay_url(order))
    shop.server.control("DELETE", "/_faults")
    assert ChargeAttempt.objects.get().status == "unknown"

    with time_machine.travel(timezone.now() + timedelta(minutes=40)):  # the stand-in's clock too
        gone = expire_holds(now=timezone.now())

    assert gone == Counter(expired=1)
    assert outcome(order) == UNPAID | {
        "order": "expired",
        "installments": ["cancelled"],
        "attempts": ["not_executed"],
        "seats": ["released", "released"],
        "emails": {"order_confirmation": 1, "order_expired": 1},
    }


def test_while_no_customer_can_be_made_nothing_is_lost_and_pressing_again_goes_on(shop):
    order = two_class_cart()
    client = parent_of(order.household)
    shop.server.control("POST", "/_faults", [{"path": "/v1/customers", "kind": "drop_after"}])

    lost = client.post("/checkout/", order_form(order), follow=True)
    assert "is not responding right now" in words(lost)
    shop.server.control("DELETE", "/_faults")

    assert client.post(pay_url(order)).url == sessions(shop)[0]["url"]
    assert len(shop.server.state.store.tables["customer"]) == 1
    assert outcome(order) == UNPAID
    assert EmailMessage.objects.count() == 1
    assert_keys_name_rows_of_ours(shop)


def test_the_pay_button_takes_no_get(shop):
    order = two_class_order()

    answer = parent_of(order.household).get(pay_url(order))

    assert answer.status_code == 405
    assert not ChargeAttempt.objects.exists()
    assert isinstance(Client().get(pay_url(order)).headers["Location"], str)
