"""Signing in, as a browser does it, and that nobody learns who has an account."""

import re
import time

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from enrollments.models import User
from notifications.models import EmailMessage
from tests.enrollments.accounts.signing_in import (
    CODE,
    LOGIN,
    LOGIN_CODE,
    NEW,
    PASSWORD,
    is_signed_in,
    last_code,
    wrong,
)
from tests.factories import (
    create_guardian,
    create_household,
)

pytestmark = pytest.mark.django_db


def words(response):
    """A page without what differs from visit to visit."""
    return re.sub(r'value="\w{64}"', "", response.content.decode())


# --- Sign-in ------------------------------------------------------------------------------------------------


def test_password_and_code_both_sign_in(client, parent):
    page = client.post(LOGIN, {"login": parent.email.upper(), "password": PASSWORD})
    assert (page["Location"], is_signed_in(client)) == (reverse("catalog"), True)

    other = Client()
    assert other.post(LOGIN_CODE, {"email": parent.email})["Location"] == CODE
    other.post(CODE, {"code": last_code("account_login_code")})

    assert is_signed_in(other)


def test_the_session_is_a_new_one_after_sign_in(client, parent):
    client.post(LOGIN_CODE, {"email": parent.email})
    before = client.session.session_key
    client.post(CODE, {"code": last_code("account_login_code")})

    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


@pytest.mark.parametrize(
    "next_url",
    [
        "https://evil.example/",
        "//evil.example/",
        "http:evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
    ],
)
def test_next_never_leads_away(client, parent, next_url):
    page = client.post(LOGIN, {"login": parent.email, "password": PASSWORD, "next": next_url})

    assert page["Location"] == reverse("catalog")


def test_next_leads_back_to_the_page_asked_for(client, parent):
    asked = client.get("/cart/")
    page = client.post(asked["Location"], {"login": parent.email, "password": PASSWORD, "next": "/cart/"})

    assert page["Location"] == "/cart/"


def test_a_wrong_code_is_told_and_the_third_ends_it(client, parent):
    client.post(LOGIN_CODE, {"email": parent.email})
    code = last_code("account_login_code")
    tries = [client.post(CODE, {"code": wrong(code)}) for _ in range(3)]

    assert [page.status_code for page in tries] == [200, 200, 302]
    assert "Incorrect code" in tries[0].content.decode()
    client.post(CODE, {"code": code})
    assert not is_signed_in(client)


def test_a_code_works_once_and_only_in_the_browser_that_asked(client, parent):
    client.post(LOGIN_CODE, {"email": parent.email})
    code = last_code("account_login_code")
    thief = Client()
    thief.post(LOGIN_CODE, {"email": parent.email})
    thief.post(CODE, {"code": code})
    assert not is_signed_in(thief)

    client.post(CODE, {"code": code})
    assert is_signed_in(client)


@pytest.mark.parametrize(("minutes", "works"), [(9, True), (11, False)])
def test_a_code_expires(client, parent, minutes, works):
    with time_machine.travel(time.time()) as clock:
        client.post(LOGIN_CODE, {"email": parent.email})
        clock.shift(minutes * 60)
        client.post(CODE, {"code": last_code("account_login_code")})

        assert is_signed_in(client) is works


def test_a_new_code_replaces_the_old(client, parent):
    client.post(LOGIN_CODE, {"email": parent.email})
    old = last_code("account_login_code")
    client.post(CODE, {"action": "resend"})
    new = last_code("account_login_code")

    if new != old:
        client.post(CODE, {"code": old})
        assert not is_signed_in(client)
    client.post(CODE, {"code": new})
    assert is_signed_in(client)


def test_too_many_passwords_lock_that_account_only(client, parent):
    other = create_guardian(household=create_household(), password=parent.password)
    for _ in range(5):
        client.post(LOGIN, {"login": parent.email, "password": "wrong-wrong-1"})
    locked = client.post(LOGIN, {"login": parent.email, "password": PASSWORD})

    assert "Too many failed login attempts" in locked.content.decode()
    assert not is_signed_in(client)
    client.post(LOGIN, {"login": other.email, "password": PASSWORD})
    assert is_signed_in(client)


def test_a_burst_from_one_address_is_answered_429_and_others_go_on(client, parent):
    with time_machine.travel(time.time(), tick=False):  # the limit is one of a minute
        burst = [client.post("/account/password/reset/", {"email": f"x{n}@example.org"}) for n in range(21)]

    assert [page.status_code for page in burst] == [302] * 20 + [429]
    assert "Too many attempts" in burst[-1].content.decode()
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post("/account/password/reset/", {"email": parent.email}).status_code == 302


def test_codes_for_one_address_are_few(client, parent):
    pages = [Client(REMOTE_ADDR=f"192.0.2.{n}").post(LOGIN_CODE, {"email": parent.email}) for n in range(4)]

    assert [page.status_code for page in pages] == [302, 302, 302, 200]
    assert EmailMessage.objects.count() == 3


def test_a_closed_account_stays_closed(client, parent):
    User.objects.filter(pk=parent.pk).update(is_active=False)
    page = client.post(LOGIN, {"login": parent.email, "password": PASSWORD})
    client.post(LOGIN_CODE, {"email": parent.email})

    assert page["Location"] == reverse("account_inactive")
    assert not EmailMessage.objects.filter(kind="account_login_code").exists()


# --- Nobody learns who has an account -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/account/signup/", {**NEW, "email": "{}"}),
        (LOGIN, {"login": "{}", "password": "wrong-wrong-1"}),
        (LOGIN_CODE, {"email": "{}"}),
        ("/account/password/reset/", {"email": "{}"}),
    ],
)
def test_known_and_unknown_addresses_get_the_same_answer(path, form, parent):
    answers = []
    for email in (parent.email, "nobody@example.org"):
        visitor = Client()
        page = visitor.post(path, {name: value.format(email) for name, value in form.items()}, follow=True)
        answers.append((page.status_code, page.redirect_chain, words(page).replace(email, "EMAIL")))
        if page.redirect_chain and "confirm" in page.redirect_chain[-1][0]:
            page = visitor.post(page.redirect_chain[-1][0], {"code": "not it"})
            answers[-1] += (page.status_code, words(page).replace(email, "EMAIL"))

    assert answers[0] == answers[1]


def test_each_of_them_is_told_by_email(client, parent):
    client.post("/account/signup/", NEW | {"email": parent.email})
    Client().post(LOGIN_CODE, {"email": "nobody@example.org"})

    rows = EmailMessage.objects.order_by("pk")
    assert [(row.to, row.recipient, row.facts["event"]) for row in rows] == [
        (parent.email, parent, "account_already_exists"),
        ("nobody@example.org", None, "unknown_account"),
    ]
