"""What a family can pay less, pay in parts or take up is announced before it has to ask."""

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.ledger.signed_links import offer_token
from billing.models import PaymentPlan
from orders.cart import add_to_cart
from tests.factories import create_course, create_household
from tests.pages import parent_of, words
from tests.waitlist import accept, family, free, full_class, join, order_of

pytestmark = pytest.mark.django_db

RULE = "Sibling discount: 25% for the second child, 35% for the third, 45% for the fourth and later."


def test_sibling_discount_and_plans_are_announced_from_the_catalog_to_a_cart_with_one_child(client):
    PaymentPlan.objects.create(name="In 2 monthly payments", parts=2)
    course = create_course(price_cents=14400)
    catalog = words(client.get(reverse("catalog")))
    assert RULE in catalog
    assert "You can pay for many classes in installments." in catalog
    page = words(client.get(course.get_absolute_url()))
    assert RULE in page
    assert "In 2 monthly payments: $72.00 with your order, $72.00 on" in page
    household = create_household()
    add_to_cart(household=household, child=household.children.get(), course=course, now=timezone.now())
    cart = words(parent_of(household).get(reverse("cart")))
    assert RULE in cart
    assert "In 2 monthly payments: $72.00 with your order, $72.00 on" in cart


def test_a_school_without_either_announces_nothing(client, settings):
    settings.SIBLING_DISCOUNT_BPS = [0]
    course = create_course()
    for url in (reverse("catalog"), course.get_absolute_url()):
        page = words(client.get(url))
        assert "Sibling discount:" not in page
        assert "in installments" not in page


def test_an_offer_shows_its_price_stands_first_and_leads_to_its_order_once_accepted(client):
    course = full_class(price_cents=14400)
    place = join(household := family(), course)
    free(course)
    place.refresh_from_db()
    link = reverse("offer", args=[offer_token(place)])
    page = words(client.get(link))
    assert "Accept and pay $144.00" in page
    account = words(parent_of(household).get(reverse("account")))
    assert account.index("A place is free") < account.index("You have nothing to pay")
    assert account.count("Accept and pay") == 1
    accept(household, place)
    answer = client.get(link)
    assert (answer.status_code, answer.headers["Location"]) == (302, order_of(place).get_absolute_url())
