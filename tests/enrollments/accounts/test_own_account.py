"""What people change about their own account: the password, the address."""

import time

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from enrollments.models import User
from notifications.models import EmailMessage
from orders.models import OrderStatus
from tests.enrollments.accounts.signing_in import (
    CONFIRM,
    LOGIN,
    PASSWORD,
    is_signed_in,
    last_code,
    last_facts,
)
from tests.factories import create_cart, create_guardian, create_household, create_order

pytestmark = pytest.mark.django_db


def test_a_forgotten_password_is_replaced_by_link(client, parent):
    elsewhere = Client()
    elsewhere.post(LOGIN, {"login": parent.email, "password": PASSWORD})
    client.post("/account/password/reset/", {"email": parent.email})
    path = last_facts("account_password_reset")["reset_path"]
    Client().head(path)  # mail programs look at links before people do
    browser = Client()
    form = browser.get(path)
    assert path.split("-")[-1].strip("/") not in form["Location"]  # the key leaves the address bar

    done = browser.post(form["Location"], {"password1": "another-horse-8", "password2": "another-horse-8"})

    assert done["Location"] == reverse("account_reset_password_from_key_done")
    assert elsewhere.get("/cart/").status_code == 302  # signed out everywhere
    assert "no longer works" in Client().get(path, follow=True).content.decode()
    assert EmailMessage.objects.filter(kind="account_notice").get().facts["event"] == "password_changed"
    fresh = Client()
    fresh.post(LOGIN, {"login": parent.email, "password": "another-horse-8"})
    assert is_signed_in(fresh)


def test_a_reset_link_lives_for_an_hour(client, parent):
    with time_machine.travel(time.time()) as clock:
        client.post("/account/password/reset/", {"email": parent.email})
        clock.shift(3601)
        page = client.get(last_facts("account_password_reset")["reset_path"], follow=True)

    assert "no longer works" in page.content.decode()


def test_a_changed_password_ends_the_other_sessions_only(client, parent):
    elsewhere = Client()
    for browser in (client, elsewhere):
        browser.post(LOGIN, {"login": parent.email, "password": PASSWORD})

    client.post(
        "/account/password/change/",
        {"oldpassword": PASSWORD, "password1": "another-horse-8", "password2": "another-horse-8"},
    )

    assert client.get("/cart/").status_code == 200
    assert elsewhere.get("/cart/").status_code == 302


def test_an_address_changes_only_with_password_and_code(client, parent):
    old = parent.email
    client.post(LOGIN, {"login": old, "password": PASSWORD})
    page = client.post("/account/email/", {"email": "new@example.org", "action_add": ""})
    assert page["Location"].startswith("/account/reauthenticate/")

    again = client.post(page["Location"], {"password": PASSWORD, "next": "/account/email/"})
    assert again["Location"] == CONFIRM
    parent.refresh_from_db()
    assert parent.email == old
    client.post(CONFIRM, {"code": last_code()})

    parent.refresh_from_db()
    assert parent.email == "new@example.org"
    assert [*EmailAddress.objects.filter(user=parent).values_list("email", "verified", "primary")] == [
        ("new@example.org", True, True)
    ]
    notices = EmailMessage.objects.filter(kind="account_notice")
    assert {(row.to, row.recipient, row.facts["event"]) for row in notices} == {
        (address, parent, "email_changed") for address in (old, "new@example.org")
    }
    assert {row.facts["new_email"] for row in notices} == {"new@example.org"}


def test_an_address_of_somebody_else_is_neither_taken_nor_told(client, parent):
    taken = create_guardian(household=create_household())
    client.post(LOGIN, {"login": parent.email, "password": PASSWORD})
    page = client.post("/account/email/", {"email": taken.email, "action_add": ""})
    page = client.post(page["Location"], {"password": PASSWORD, "next": "/account/email/"})

    assert page["Location"] == CONFIRM
    parent.refresh_from_db()
    assert parent.email != taken.email


def test_an_address_in_upper_case_is_the_same_address():
    User.objects.create_user("Office@Example.ORG", PASSWORD)

    assert User.objects.get().email == "office@example.org"
    with pytest.raises(IntegrityError):
        User.objects.create(email="OFFICE@example.org")


def test_without_a_confirmed_address_nothing_is_ordered_or_paid(client):
    cart = create_cart()
    order = create_order()
    for household, path, form in [
        (cart.household, "/checkout/", {"order": cart.public_id}),
        (order.household, f"/account/orders/{order.public_id}/pay/", {}),
    ]:
        EmailAddress.objects.filter(user__household=household).update(verified=False)
        client.force_login(household.guardians.get())
        page = client.post(path, form)

        assert page["Location"] == "/account/email/"
        assert "Please confirm your email address" in client.get("/account/email/").content.decode()

    cart.refresh_from_db()
    assert cart.status == OrderStatus.DRAFT
