"""An order that waits for its payment follows its family over every page, until it is paid or over."""

import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from billing.models import ChargeAttempt, ChargeKind, ChargeStatus
from csf.templatetags.csf_format import moment, until
from tests.factories import create_cart, create_course, create_household, create_order
from tests.pages import parent_of, queries, words
from tests.shop import hear, open_page

SCHOOL = ZoneInfo(settings.SCHOOL_TIME_ZONE)
pytestmark = pytest.mark.django_db


def pay_url(order):
    return f'action="{order.get_absolute_url()}pay/"'


@pytest.fixture
def order():
    return create_order(household=create_household(children=2), courses=[create_course(price_cents=15_750)])


def test_each_page_of_the_family_says_until_when_and_leads_to_the_payment(order):
    course = create_course()
    held_until = until(order.held_until).replace("\xa0", " ")
    pages = ["/", course.get_absolute_url(), "/cart/", "/account/", "/account/children/", "/account/emails/"]

    for url in [*pages, order.get_absolute_url()]:
        page = parent_of(order.household).get(url)
        assert f"Your places are held until {held_until}" in words(page), url
        assert "Pay $157.50" in words(page), url
        assert pay_url(order) in page.text, url

    assert "Pay $157.50" not in words(parent_of(create_household()).get("/"))


def test_the_cart_shows_the_order_and_not_that_it_is_empty(order):
    page = words(parent_of(order.household).get("/cart/"))

    assert page.startswith(f"Cart Order {order.number} {order.items.get().child.first_name} in Dolphin Swim")
    assert "no longer" not in page
    assert page.count("Pay $157.50") == 1


def test_an_empty_cart_takes_the_same_queries_for_held_orders_of_1_and_3_lines(order):
    client = parent_of(order.household)
    with_one = queries(client, "/cart/")
    create_order(household=order.household, courses=[create_course() for _ in range(3)])

    assert queries(client, "/cart/") == with_one <= 12


def test_a_cart_with_other_classes_shows_both(order):
    create_cart(household=order.household)

    page = words(parent_of(order.household).get("/cart/"))

    assert "Pay $157.50" in page
    assert "Continue to checkout" in page


@pytest.mark.parametrize("url", ["/", "/account/", "/cart/"])
def test_while_a_payment_is_confirmed_no_page_asks_for_it_again(shop, order, url):
    client = parent_of(order.household)
    shop.pay(open_page(order))

    back = client.get(f"{order.get_absolute_url()}?paid=1")
    assert 'http-equiv="refresh"' in back.text
    for page in (back, client.get(url)):
        assert "Your payment is being confirmed" in words(page)
        assert "Pay $" not in words(page)

    hear(shop, "payment_intent.succeeded")
    assert "Your payment is being confirmed" not in words(client.get(url))


def test_a_payment_that_nobody_told_us_of_is_found_by_the_button_and_taken_once(shop, order):
    client = parent_of(order.household)
    shop.pay(open_page(order))
    client.get(f"{order.get_absolute_url()}?paid=1")

    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=6)):
        late = client.get(f"{order.get_absolute_url()}?paid=1")
        assert "We have not received your payment yet." in words(late)
        assert 'http-equiv="refresh"' not in late.text
        assert pay_url(order) in late.text
        answer = client.post(f"{order.get_absolute_url()}pay/", follow=True)

    assert "Your order is confirmed" in words(answer)
    hear(shop, "payment_intent.succeeded")
    assert [payment.amount_cents for payment in order.payments.all()] == [15_750]


def test_a_saved_card_that_is_charged_leaves_no_button(order):
    part = order.installments.get()
    part.start_charging()
    ChargeAttempt.objects.create(
        installment=part,
        number=1,
        kind=ChargeKind.PARENT,
        status=ChargeStatus.SENDING,
        amount_cents=part.amount_cents,
        currency=order.currency,
    )

    for url in ["/", "/account/", order.get_absolute_url()]:
        page = parent_of(order.household).get(url)
        assert "We are charging your saved card" in words(page), url
        assert pay_url(order) not in page.text, url


def test_a_hold_that_is_over_and_not_ended_yet_is_not_called_held(order):
    with time_machine.travel(order.held_until + datetime.timedelta(minutes=1)):
        page = words(parent_of(order.household).get("/account/"))

    assert "Your places are no longer reserved." in page
    assert "Your places are held" not in page


def test_tomorrow_is_told_with_its_day(order):
    order.__class__.objects.update(held_until=timezone.now() + datetime.timedelta(days=1))
    order.refresh_from_db()

    held_until = moment(order.held_until).replace("\xa0", " ")
    assert f"held until {held_until}" in words(parent_of(order.household).get("/"))
