"""What happens to a press on a button when the session has ended, and where a sign-in leads."""

import uuid
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.core.cache import cache
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.urls import reverse

from csf.web.own_pages import is_own_path
from enrollments.models import User
from notifications.models import EmailMessage
from orders.models import cart_of
from tests.factories import create_cart, create_course, create_household, create_order, create_staff
from tests.pages import parent_of, words

PASSWORD = "correct-horse-7"
LOGIN = "/account/login/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def parent():
    user = create_household(children=2).guardians.get()
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(browser, user, at):
    query = dict(parse_qsl(urlsplit(at).query))
    return browser.post(at, {"login": user.email, "password": PASSWORD} | query, follow=True)


BUTTONS = ["/cart/{}/remove/", "/account/orders/{}/pay/", "/account/installments/{}/pay/"]
BUTTONS += ["/account/enrollments/{}/keep/", "/account/emails/copies/{}/stop/"]
BUTTONS += ["/account/emails/invitations/{}/withdraw/"]


@pytest.mark.parametrize("address", BUTTONS)
def test_a_button_pressed_after_the_session_ended_leads_back_to_its_page(client, parent, address):
    pressed = client.post(address.format(uuid.uuid4()))
    assert pressed["Location"].startswith(f"{LOGIN}?next=")
    assert "You were signed out" in client.get(pressed["Location"]).text

    client.post(address.format(uuid.uuid4()))
    page = sign_in(client, parent, pressed["Location"])

    assert page.status_code == 200
    assert page.redirect_chain[-1][0] in {"/cart/", "/account/", "/account/emails/"}


@pytest.mark.parametrize("address", BUTTONS)
def test_looking_at_a_buttons_address_shows_the_way_to_its_page(parent, address):
    page = parent_of(parent.household).get(address.format(uuid.uuid4()))

    assert (page.status_code, page["Allow"]) == (405, "POST")
    assert 'class="button" href="/' in page.text


def test_the_child_chosen_on_a_class_page_is_still_chosen_after_the_sign_in(client, parent):
    course, child = create_course(), parent.household.children.last()

    pressed = client.post(course.get_absolute_url(), {"child": str(child.public_id)})
    assert "You were signed out" in client.get(pressed["Location"]).text
    page = sign_in(client, parent, pressed["Location"])

    assert page.status_code == 200
    assert page.context["form"]["child"].value() == str(child.public_id)
    client.post(course.get_absolute_url(), {"child": str(child.public_id)})
    assert cart_of(parent.household).items.get().child == child


@pytest.mark.parametrize("choice", ["", "x", "\0", "11111111-1111-4111-8111-111111111111"])
def test_an_odd_choice_is_forgotten(client, parent, choice):
    course = create_course()
    pressed = client.post(course.get_absolute_url(), {"child": choice})

    assert sign_in(client, parent, pressed["Location"]).status_code == 200


def test_a_sign_in_sent_twice_is_a_sign_in(parent):
    browser = Client(enforce_csrf_checks=True)
    browser.get(f"{LOGIN}?next=/cart/")
    form = {"login": parent.email, "password": PASSWORD, "next": "/cart/"}
    form["csrfmiddlewaretoken"] = browser.get(LOGIN).context["csrf_token"]

    first, second = browser.post(LOGIN, form), browser.post(LOGIN, form)

    assert (first.status_code, first["Location"]) == (302, "/cart/")
    assert (second.status_code, second["Location"]) == (302, "/cart/")
    assert browser.post("/cart/", {"csrfmiddlewaretoken": form["csrfmiddlewaretoken"]}).status_code == 403


AWAY = [
    "//localhost/",
    "///localhost/",
    "/\\localhost/",
    "\\\\localhost",
    "//testserver/",
    "http://testserver/cart/",
]
AWAY += ["https://localhost/", "http:///cart/", "/\t/localhost/", "//localhost:8000/", "javascript:alert(1)"]
AWAY += ["//[", " //localhost/", "cart/", ""]


@pytest.mark.parametrize("url", AWAY)
def test_no_next_leads_to_another_host_even_one_we_answer_to(client, parent, url):
    assert not is_own_path(url)
    browser = parent_of(parent.household)
    form = {"login": parent.email, "password": PASSWORD, "next": url}
    assert client.post(LOGIN, form)["Location"] == reverse("catalog")
    assert browser.post("/account/logout/", {"next": url})["Location"] == reverse("catalog")
    assert words(parent_of(parent.household).get("/account/children/add/", {"next": url}))


# --- Ways back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["account_email", "account_change_password", "mfa_index"])
def test_pages_about_the_account_lead_back_to_it(parent, name):
    browser = parent_of(parent.household)

    assert reverse(name) in browser.get("/account/").text
    assert "Back to my account" in words(browser.get(reverse(name), follow=True))
    office = Client()
    office.force_login(create_staff())
    assert "Back to the office" in words(office.get(reverse(name), follow=True))


# --- Caches -------------------------------------------------------------------------------------------------


def test_what_somebody_signed_in_sees_is_kept_by_no_cache(client, parent):
    order = create_order(household=parent.household)
    create_cart(household=parent.household)
    browser = parent_of(parent.household)
    pages = ["/", "/cart/", "/checkout/", "/account/", "/account/children/", "/account/emails/", "/nowhere/"]
    pages += [order.get_absolute_url(), create_course().get_absolute_url(), "/account/password/change/"]
    for url in pages:
        assert "no-store" in browser.get(url).headers.get("Cache-Control", ""), url
    assert "no-store" not in client.get("/").headers.get("Cache-Control", "")
    office = Client()
    office.force_login(create_staff())
    assert "no-store" in office.get("/admin/")["Cache-Control"]


def test_what_shows_a_typed_address_or_opens_an_account_is_kept_by_no_cache(client, parent):
    form = {"first_name": "M", "last_name": "M", "email": "typed@example.org", "password1": "correct-horse-7"}
    client.post("/account/signup/", form)
    shown = client.get("/account/confirm-email/")
    Client().post("/account/password/reset/", {"email": parent.email})
    reset = EmailMessage.objects.get(kind="account_password_reset").facts["reset_path"]
    opened = Client().get(reset, follow=True)

    assert form["email"] in shown.text
    assert 'name="password1"' in opened.text
    for page in (shown, opened, Client().get("/account/login/")):
        assert "no-store" in page.headers["Cache-Control"]


# --- A database that is away --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError("connection refused"), InterfaceError("closed")])
@pytest.mark.parametrize("where", ["billing.pages.cart.render", "enrollments.models.User.objects.get"])
def test_a_database_that_is_away_answers_503(parent, monkeypatch, error, where):
    browser = parent_of(parent.household)
    browser.raise_request_exception = False

    def fail(*args, **kwargs):
        raise error

    if where == "billing.pages.cart.render":
        monkeypatch.setattr(where, fail)
    else:
        monkeypatch.setattr("django.contrib.auth.middleware.get_user", fail)
    answer = browser.get("/cart/")

    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5")
    assert "cannot load this page" in answer.text


def test_other_errors_stay_errors(parent, monkeypatch):
    browser = parent_of(parent.household)
    browser.raise_request_exception = False

    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("billing.pages.cart.render", fail)
    assert browser.get("/cart/").status_code == 500
    assert User.objects.exists()
