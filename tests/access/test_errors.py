"""What strangers and parents see when something breaks, and what does not lead away from the site."""

import json
import logging
import re
import uuid
from html import unescape
from urllib.parse import quote

import pytest
import requests
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client

from enrollments.models import Child
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from orders.models import Order
from tests.conftest import ROOT
from tests.factories import (
    create_cart,
    create_course,
    create_household,
    create_order,
    create_staff,
)
from tests.stripe_events import PATH, create_endpoint, event_body, signature

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-7"
CANARY = "zanzibar-4000000000009995"
RANDOM = uuid.UUID("33333333-3333-4333-8333-333333333333")
ELSEWHERE = [
    "https://evil.example/",
    "http://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "http:///evil.example",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "https://testserver@evil.example/",
    "https://testserver.evil.example/",
    "javascript:alert(1)",
    "JaVaScRiPt://testserver/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "ftp://testserver/",
    "http://localhost/",
    "http://127.0.0.1/",
    "//[",
]


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def parent():
    user = create_household().guardians.get()
    user.set_password(PASSWORD)
    user.save()
    return user


def client_of(user=None):
    client = Client(raise_request_exception=False)
    if user:
        client.force_login(user)
    return client


def stumble(*args, **kwargs):
    raise RuntimeError(CANARY)


# --- Broken pages -------------------------------------------------------------------------------------------

BROKEN = {
    "a public page": ("orders.views.CatalogForm", "get", "/"),
    "a class": ("orders.views.Course.objects.visible_to", "get", "/classes/x/"),
    "the cart": ("billing.pages.cart.lines_in_cart", "get", "/cart/"),
    "the checkout": ("billing.pages.orders.lines_in_cart", "get", "/checkout/"),
    "placing": ("billing.pages.orders.place_order", "post", "/checkout/"),
    "paying": ("billing.pages.orders.payment_page", "post", "/account/orders/{order}/pay/"),
    "an order": ("billing.pages.orders.with_figures", "get", "/account/orders/{order}/"),
    "cancelling": ("billing.pages.orders.end_unpaid_order", "post", "/account/orders/{order}/cancel/"),
    "children": ("enrollments.views.children_with_classes", "get", "/account/children/"),
    "a child's form": ("enrollments.views.ChildForm", "post", "/account/children/add/"),
    "a template": ("billing.pages.family_orders.guardian", "get", "/account/"),
    "sign-in": ("allauth.account.forms.LoginForm.clean", "post", "/account/login/"),
    "sign-up": ("enrollments.accounts.sign_up.SignupForm.clean", "post", "/account/signup/"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_page_says_that_it_is_our_fault_and_no_more(parent, monkeypatch, caplog, what):
    broken, method, url = BROKEN[what]
    placed = create_order(household=parent.household)
    cart = create_cart(household=parent.household)
    monkeypatch.setattr(broken, stumble)
    client = client_of(None if what in {"sign-in", "sign-up"} else parent)
    sent = {"order": str(cart.public_id), "login": parent.email, "email": "new@example.org", "password": "x"}

    answer = getattr(client, method)(url.format(order=placed.public_id), sent)

    assert_plain_500(answer)
    assert CANARY in caplog.text  # and we are told


def assert_plain_500(answer):
    assert answer.status_code == 500
    assert "<h1>Something went wrong</h1>" in answer.text
    assert "before you pay again" in answer.text
    for detail in (CANARY, "RuntimeError", "Traceback", "Exception", str(ROOT), "csf.", "Django"):
        assert detail not in answer.text


def test_a_broken_staff_page_and_a_broken_webhook_say_no_more(monkeypatch):
    client = client_of(create_staff())
    create_endpoint()
    monkeypatch.setattr("office.admin.orders.with_figures", stumble)
    assert_plain_500(client.get("/admin/orders/order/"))

    monkeypatch.setattr("billing.events.webhooks.verified_event", stumble)
    answer = client_of().post(
        PATH,
        raw := json.dumps(event_body()).encode(),
        content_type="application/json",
        headers={"Stripe-Signature": signature(raw)},
    )
    assert_plain_500(answer)


@pytest.mark.parametrize("url", ["/", "/cart/", "/account/", "/account/login/", "/admin/", "/no/such/page/"])
def test_without_a_database_every_page_is_the_plain_one(parent, url):
    client = client_of(parent)

    def away(execute, sql, params, many, context):
        raise OperationalError(CANARY)

    with connection.execute_wrapper(away):
        answer = client.get(url)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "cannot load this page" in answer.text
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        f"/account/orders/{RANDOM}/",
        f"/account/orders/{RANDOM}/cancel/",
        f"/account/children/{RANDOM}/",
        f"/account/enrollments/{RANDOM}/cancel/",
        "/classes/no-such-class/",
        "/account/orders/1/",
        "/account/orders/%00/",
        "/account/orders/%27%20OR%201=1/",
        "/no/such/page/",
        "/%ff%fe",
        "/.env",
        "/admin.php",
    ],
)
def test_unknown_addresses_get_the_404_page_of_the_site(parent, url):
    answer = client_of(parent).get(url)

    assert answer.status_code == 404
    assert "We cannot find that page" in answer.text
    assert "/cart/" in answer.text  # with the site's menu
    for detail in ("Traceback", "Resolver", "urlconf", "DoesNotExist", "matches the given query"):
        assert detail not in answer.text


@pytest.mark.parametrize(
    ("method", "url", "sent"),
    [
        ("get", "/?program=%00&location=x&weekday=9&age=999999999999999999999&page=-1", None),
        ("get", "/?program=99999999999999999999999&page=99999999999999999999999", None),
        ("get", "/?q=%ff%fe&open=%F0%9F", None),
        ("get", "/account/children/add/?next=%00", None),
        ("get", "/account/login/?next=%00", None),
        ("post", "/cart/", {"code": "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1")}),
        ("post", "/cart/", {"code": "x" * 5000}),
        ("post", "/checkout/", {"order": "\x00"}),
        ("post", "/checkout/", {"order": "{cart}", "total": "٣"}),
        ("post", "/checkout/", {"order": "{cart}", "total": "9" * 40}),
        ("post", "/checkout/", {"order": "{cart}", "plan": "\x00"}),
        ("post", "/checkout/", {"order": "{cart}", "plan": "-1"}),
        ("post", "/account/children/add/", {"contacts-TOTAL_FORMS": "999999"}),
        ("post", "/account/children/add/", {"contacts-TOTAL_FORMS": "x", "born_on": "0000-00-00"}),
        ("post", "/account/children/add/", {"first_name": "\x00", "born_on": "9999-12-31"}),
        ("post", "/account/login/", {"login": "\x00@example.org", "password": "\x00"}),
    ],
)
def test_odd_requests_are_no_reason_to_break(parent, method, url, sent):
    cart = create_cart(household=parent.household)
    data = {name: value.replace("{cart}", str(cart.public_id)) for name, value in (sent or {}).items()}
    client = client_of(None if "login" in url else parent)

    answer = getattr(client, method)(url, data or None)

    assert answer.status_code < 500
    assert Child.objects.filter(household=parent.household).count() == 1


def test_a_request_too_large_or_of_the_wrong_kind_is_400(parent):
    client = client_of(parent)

    many = client.post("/cart/", {f"field{number}": "x" for number in range(1001)})
    large = client.post("/cart/", {"code": "x" * 3_000_000})
    torn = client.post("/cart/", b"--x\r\nContent-Disposition: broken", content_type="multipart/form-data")

    for answer in (many, large, torn):
        assert answer.status_code == 400
        assert "Traceback" not in answer.text


# --- Led away -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_sign_in_does_not_lead_elsewhere(parent, wanted):
    client, url = client_of(), f"/account/login/?next={quote(wanted)}"

    page = client.get(url)
    answer = client.post(url, {"login": parent.email, "password": PASSWORD, "next": wanted})

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/"
    assert_no_link_to(wanted, page)
    assert client.get(url).headers["Location"] == "/"  # also for who is signed in already


@pytest.mark.parametrize("wanted", [*ELSEWHERE, "foo", "order", "logout?x=1", ""])
def test_a_saved_child_does_not_lead_elsewhere(parent, wanted):
    client, url = client_of(parent), f"/account/children/add/?next={quote(wanted)}"
    sent = {"first_name": "Ada", "last_name": "Garcia", "born_on": "2018-05-31"}
    sent |= {"contacts-TOTAL_FORMS": "3", "contacts-INITIAL_FORMS": "0", "contacts-0-name": "Gran"}
    sent |= {"contacts-0-phone": "555 010 0123", "contacts-0-relationship": "Grandmother"}

    page = client.get(url)
    answer = client.post(url, sent)

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/account/children/"
    assert_no_link_to(wanted, page)


def assert_no_link_to(wanted, page):
    """The page may keep what was asked for in a query, but has no link that leads there."""
    found = [unescape(link) for link in re.findall(r'(?:href|action)="([^"]*)"', page.text)]
    assert found
    assert wanted not in {*found} - {""}
    for link in found:
        at, _, _ = link.partition("?")
        assert "evil.example" not in at
        assert not at.lower().startswith(("javascript:", "data:"))


@pytest.mark.parametrize("wanted", ["/cart/", "/classes/x/?a=b", "/account/children/"])
def test_what_stays_on_the_site_is_followed(parent, wanted):
    url = f"/account/login/?next={quote(wanted)}"

    answer = client_of().post(url, {"login": parent.email, "password": PASSWORD, "next": wanted})

    assert answer.headers["Location"] == wanted


def test_a_way_back_cannot_add_headers(parent):
    child = parent.household.children.get()
    url = f"/account/children/{child.public_id}/?next={quote('/cart/' + chr(13) + chr(10) + 'X-Evil: 1')}"
    sent = {"first_name": "Ada", "last_name": "Garcia", "born_on": "2018-05-31"}
    sent |= {"contacts-TOTAL_FORMS": "3", "contacts-INITIAL_FORMS": "0", "contacts-0-name": "Gran"}
    sent |= {"contacts-0-phone": "555 010 0123", "contacts-0-relationship": "Grandmother"}

    answer = client_of(parent).post(url, sent)

    assert answer.status_code == 302
    assert "X-Evil" not in answer.headers
    assert "\n" not in answer.headers["Location"]


# --- Forged hosts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "testserver.evil.example", "a b", "[::1"]
)
def test_a_foreign_host_gets_400(parent, host, caplog):
    caplog.set_level(logging.CRITICAL)

    for answer in (
        client_of(parent).get("/account/", headers={"Host": host}),
        client_of().post("/account/password/reset/", {"email": parent.email}, headers={"Host": host}),
    ):
        assert answer.status_code == 400
        assert "We could not read that request" in answer.text
        assert "evil.example" not in answer.text
        assert "ALLOWED_HOSTS" not in answer.text
    assert not EmailMessage.objects.exists()


def test_no_header_of_a_request_gets_into_an_email_or_into_stripes_way_back(
    parent, mail_server, stripe_server, settings
):
    """These hosts are allowed, so that the page answers; links are made from SITE_URL all the same."""
    forged = {
        "Host": "localhost:6666",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
        "X-Original-Url": "https://evil.example/",
        "Origin": "http://localhost:6666",
        "Referer": "http://localhost:6666/evil.example/",
    }
    new = {"first_name": "Maria", "last_name": "Lopez", "email": "maria@example.org", "password1": PASSWORD}
    cart = create_cart(household=parent.household, courses=[create_course()])
    visitor = client_of()

    visitor.post("/account/signup/", new, headers=forged)
    client_of().post("/account/signup/", new | {"email": parent.email}, headers=forged)
    client_of().post("/account/password/reset/", {"email": parent.email}, headers=forged)
    client_of().post("/account/login/code/", {"email": parent.email}, headers=forged)
    to_stripe = client_of(parent).post("/checkout/", {"order": str(cart.public_id)}, headers=forged)
    drain()

    kinds = {message["kind"] for message in mail_server.messages()}
    assert kinds == {
        "account_confirm_email",
        "account_notice",
        "account_password_reset",
        "account_login_code",
        "order_confirmation",
    }
    for message in mail_server.messages():
        for part in (message["text"], message["html"], str(message["headers"]), message["subject"]):
            assert "6666" not in part
            assert "evil" not in part
            assert "gopher" not in part
    [reset] = mail_server.messages(kind="account_password_reset")
    assert f"{settings.SITE_URL}/account/password/reset/key/" in reset["text"]
    assert requests.head(to_stripe.url, timeout=60).status_code < 500
    [session] = stripe_server.state.store.tables["checkout.session"].values()
    order = Order.objects.get(pk=cart.pk)
    assert session["success_url"] == f"{settings.SITE_URL}{order.get_absolute_url()}?paid=1"
    assert session["cancel_url"] == f"{settings.SITE_URL}{order.get_absolute_url()}"
