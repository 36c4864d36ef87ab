"""Limits that Stripe publishes: the stand-in keeps them, and what we send stays below."""

import pytest
import requests
from django.conf import settings as django_settings

from billing.models import Card, StripeCustomer
from tests.billing.conftest import shop  # noqa: F401
from tests.billing.story import PAID, story
from tests.factories import create_order
from tests.shop import at_stripe, hear, open_page, order_with_plan, run_days

PRICE = "line_items[0][price_data]"
PAGE = {
    "mode": "payment",
    "success_url": "https://example.org/",
    f"{PRICE}[currency]": "usd",
    f"{PRICE}[unit_amount]": "5000",
    f"{PRICE}[product_data][name]": "Swimming",
    "line_items[0][quantity]": "1",
}


@pytest.mark.parametrize(
    ("path", "params", "param", "code"),
    [
        ("customers", {"name": "x" * 257}, "name", None),
        ("customers", {"email": "x" * 501 + "@example.org"}, "email", None),
        ("customers", {"email": "pat@example"}, "email", "email_invalid"),
        ("customers", {"email": "pat@@example.org"}, "email", "email_invalid"),
        ("customers", {"metadata[note]": "x" * 501}, "metadata", None),
        (
            "checkout/sessions",
            PAGE | {f"{PRICE}[product_data][name]": "x" * 251},
            f"{PRICE}[product_data][name]",
            None,
        ),
        ("checkout/sessions", PAGE | {"client_reference_id": "x" * 201}, "client_reference_id", None),
        ("checkout/sessions", PAGE | {"success_url": "example.org"}, "success_url", "url_invalid"),
        ("checkout/sessions", PAGE | {f"{PRICE}[unit_amount]": "49"}, "line_items", "amount_too_small"),
        (
            "checkout/sessions",
            PAGE | {f"{PRICE}[currency]": "sek", f"{PRICE}[unit_amount]": "299"},
            "line_items",
            "amount_too_small",
        ),
        (
            "checkout/sessions",
            PAGE | {f"{PRICE}[unit_amount]": "100000000"},
            "line_items",
            "amount_too_large",
        ),
    ],
)
def test_the_stand_in_keeps_what_stripe_publishes(stripe_server, path, params, param, code):
    answer = requests.post(
        f"{stripe_server.url}/v1/{path}",
        data=params,
        headers={"Authorization": f"Bearer {django_settings.STRIPE_SECRET_KEY}"},
        timeout=60,
    )

    error = answer.json()["error"]
    assert (answer.status_code, error.get("param"), error.get("code")) == (400, param, code)


def test_a_school_with_a_very_long_name_can_be_paid(shop, settings):  # noqa: F811
    settings.SCHOOL_NAME = "The Harbour Swim School of the Northern Bay and its Friends " * 10
    installment = order_with_plan(shop)

    run_days(installment, days=1)

    assert story(installment) == PAID


def test_a_customer_that_is_deleted_at_stripe_is_forgotten_when_stripe_says_so(shop):  # noqa: F811
    installment = order_with_plan(shop)
    customer = StripeCustomer.objects.get()
    at_stripe(shop, "DELETE", f"/v1/customers/{customer.stripe_id}")

    hear(shop, "customer.deleted")

    customer.refresh_from_db()
    assert (customer.stripe_id, customer.number) == (None, 2)
    assert not Card.objects.usable().exists()
    assert open_page(create_order(household=installment.order.household)).startswith("http")
