"""Signing up, as a browser does it; the codes are read from the outbox, as the drain reads them."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from csf.forms.names import one_line
from enrollments.accounts.sign_up import SignupForm
from enrollments.models import Household, User
from notifications.models import EmailMessage
from notifications.rendering.render import render
from tests.enrollments.accounts.signing_in import CONFIRM, LOGIN, NEW, PASSWORD, is_signed_in, last_code

pytestmark = pytest.mark.django_db


def test_a_family_signs_up_confirms_its_address_and_is_in(client):
    page = client.post("/account/signup/", NEW)
    assert page["Location"] == CONFIRM
    assert not is_signed_in(client)

    page = client.post(CONFIRM, {"code": last_code()})
    user = User.objects.get()

    assert page["Location"] == reverse("catalog")
    assert is_signed_in(client)
    assert (user.email, user.household.name, user.signed_up_at is not None) == (
        NEW["email"],
        "Lopez family",
        True,
    )
    assert EmailAddress.objects.filter(user=user, verified=True, primary=True).exists()
    assert [row.kind for row in EmailMessage.objects.order_by("pk")] == ["account_confirm_email", "welcome"]
    assert re.fullmatch(r"\d{6}", last_code())


def test_user_and_household_come_together_or_not_at_all(client, monkeypatch):
    monkeypatch.setattr("allauth.account.forms.setup_user_email", stumble)
    with pytest.raises(RuntimeError):
        client.post("/account/signup/", NEW)

    assert (User.objects.count(), Household.objects.count()) == (0, 0)


def stumble(*args):
    raise RuntimeError


def test_two_sign_ups_at_once_make_one_account(client, monkeypatch, parent):
    monkeypatch.setattr(
        SignupForm, "validate_unique_email", lambda form, value: value
    )  # both passed the check

    page = client.post("/account/signup/", NEW | {"email": parent.email})

    assert page["Location"] == CONFIRM
    assert (User.objects.filter(email=parent.email).count(), Household.objects.count()) == (1, 1)
    assert EmailMessage.objects.get().facts["event"] == "account_already_exists"


def test_who_signs_up_twice_comes_from_the_email_to_the_sign_in_page(client, parent):
    """The browser waits for a code that was never sent, and shows that page wherever one signs in."""
    client.post("/account/signup/", NEW | {"email": parent.email})
    assert client.get("/account/login/")["Location"].startswith(CONFIRM)
    email = EmailMessage.objects.get()
    [path] = re.findall(r"https?://[^/]+(/account/\S+)", render(email.kind, email.facts).text)

    page = client.get(path, follow=True)

    assert page.redirect_chain == [("/account/login/", 302)]
    signed_in = client.post("/account/login/", {"login": parent.email, "password": PASSWORD})
    assert signed_in["Location"] == "/"


def test_the_page_for_a_code_leads_to_another_address(client):
    client.post("/account/signup/", NEW | {"email": "mistypd@example.org"})

    page = client.get(CONFIRM)

    assert page.content.decode().count(reverse("start_again")) == 2
    assert client.get(reverse("start_again"))["Location"] == "/account/login/"
    assert client.get("/account/signup/").status_code == 200


def test_starting_again_signs_nobody_out(client, parent):
    client.force_login(parent)

    client.get(reverse("start_again"))

    assert client.get("/account/children/").status_code == 200


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Ana\r\nBcc: all@example.org", "Ana Bcc: all@example.org"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Zoë 👩‍👧 O'Hara-Śmith", "Zoë 👩‍👧 O'Hara-Śmith"),
        ("שרה", "שרה"),
        ("No\u202eah\x07 \u2028 X", "Noah X"),
        ("  many   spaces  ", "many spaces"),
        ("a\0b", "ab"),
    ],
)
def test_names_are_one_line_and_shown_as_text(client, typed, kept):
    client.post("/account/signup/", NEW | {"first_name": typed, "last_name": typed})
    client.post(CONFIRM, {"code": last_code()})
    user = User.objects.get()

    assert (user.first_name, user.last_name, user.household.name) == (kept, kept, f"{kept} family")
    assert one_line(kept) == kept
    assert "<script>alert" not in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"first_name": " \r\n "}, "first_name"),
        ({"last_name": "\u202e\x07"}, "last_name"),
        ({"last_name": "x" * 61}, "last_name"),
        ({"email": "maria@example"}, "email"),
        ({"email": "märia@example.org"}, "email"),
        ({"email": "maria@exa mple.org"}, "email"),
        ({"email": "a@b.org\r\nBcc: c@d.org"}, "email"),
        ({"password1": "short"}, "password1"),
        ({"password1": "password1"}, "password1"),
        ({"password1": "maria@example"}, "password1"),
    ],
)
def test_bad_input_is_told_by_its_field_and_makes_nothing(client, changes, field):
    page = client.post("/account/signup/", NEW | changes)

    assert page.status_code == 200
    assert list(page.context["form"].errors) == [field]
    assert (User.objects.count(), EmailMessage.objects.count()) == (0, 0)


def test_a_long_password_and_any_characters_are_fine(client):
    password = "ключ от квартиры " * 4
    client.post("/account/signup/", NEW | {"password1": password})
    client.post(CONFIRM, {"code": last_code()})

    assert User.objects.get().check_password(password)


def test_fields_that_are_not_in_the_form_are_ignored(client):
    client.post("/account/signup/", NEW | {"is_staff": "1", "is_superuser": "1", "household": "1"})

    assert User.objects.filter(is_staff=False, is_superuser=False).count() == 1


def test_somebody_who_left_before_the_code_gets_another_at_sign_in(client):
    client.post("/account/signup/", NEW)
    cache.clear()
    later = Client()
    page = later.post(LOGIN, {"login": NEW["email"], "password": PASSWORD})
    assert page["Location"] == CONFIRM

    later.post(CONFIRM, {"code": last_code()})

    assert is_signed_in(later)
    assert EmailMessage.objects.filter(kind="welcome").count() == 1


def test_welcome_is_only_for_those_who_signed_up_themselves(client, parent):
    EmailAddress.objects.all().delete()
    client.post(LOGIN, {"login": parent.email, "password": PASSWORD})
    client.post(CONFIRM, {"code": last_code()})

    assert is_signed_in(client)
    assert not EmailMessage.objects.filter(kind="welcome").exists()
