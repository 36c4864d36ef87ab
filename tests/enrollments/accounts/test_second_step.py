"""Staff sign in with a second step, and their sessions end."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client
from django.urls import reverse

from tests.enrollments.accounts.signing_in import LOGIN, PASSWORD, SECRET, is_signed_in, wrong
from tests.factories import create_guardian, create_household, create_staff, create_totp

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(settings):
    settings.STAFF_MFA_REQUIRED = True
    user = create_staff()
    user.set_password(PASSWORD)
    user.save()
    return user


ADMIN_PAGES = ["/admin/", "/admin/enrollments/household/", "/admin/orders/order/", "/admin/jsi18n/"]


def totp_code():
    return format_hotp_value(hotp_value(SECRET, int(time.time()) // 30))


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_staff_without_a_second_step_reach_no_admin_page(client, staff, path):
    client.post(LOGIN, {"login": staff.email, "password": PASSWORD})
    for answer in (client.get(path), client.post(path)):
        assert (answer.status_code, answer["Location"]) == (302, reverse("mfa_activate_totp"))


def test_staff_set_the_second_step_up_and_are_in(client, staff):
    client.post(LOGIN, {"login": staff.email, "password": PASSWORD})
    page = client.get(client.get("/admin/")["Location"])
    page = client.post(
        page["Location"], {"password": PASSWORD, "next": "/account/second-step/totp/activate/"}
    )
    form = client.get(page["Location"])
    session = client.session
    session["mfa.totp.secret"] = SECRET
    session.save()
    assert "QR code" in form.content.decode()
    page = client.post("/account/second-step/totp/activate/", {"code": totp_code()})
    assert page["Location"] == reverse("mfa_view_recovery_codes")

    asked = client.get("/admin/")
    assert urlsplit(asked["Location"]).path == reverse("mfa_reauthenticate")
    page = client.post(asked["Location"], {"code": totp_code(), "next": "/admin/"})

    assert page["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_staff_sign_in_with_both_steps(client, staff):
    create_totp(user=staff, secret=SECRET)
    page = client.post(LOGIN, {"login": staff.email, "password": PASSWORD, "next": "/admin/"})
    assert page["Location"] == reverse("mfa_authenticate")
    assert not is_signed_in(client)

    wrong_step = client.post(page["Location"], {"code": wrong(totp_code())})
    assert (wrong_step.status_code, is_signed_in(client)) == (200, False)
    page = client.post(page["Location"], {"code": totp_code()})

    assert page["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_session_from_before_the_second_step_has_to_show_it(client, staff):
    client.post(LOGIN, {"login": staff.email, "password": PASSWORD})
    create_totp(user=staff, secret=SECRET)
    page = client.get("/admin/orders/order/?status=placed")

    assert urlsplit(page["Location"]).path == reverse("mfa_reauthenticate")
    assert parse_qs(urlsplit(page["Location"]).query) == {"next": ["/admin/orders/order/?status=placed"]}


def test_the_secret_of_the_second_step_is_not_readable_in_the_database(staff):
    row = create_totp(user=staff, secret=SECRET)
    row.refresh_from_db()

    assert SECRET not in str(row.data)


def test_the_admins_own_sign_in_leads_to_ours(client, parent):
    page = client.get("/admin/login/?next=/admin/")
    assert urlsplit(page["Location"]).path == LOGIN
    page = client.post("/admin/login/", {"username": parent.email, "password": PASSWORD})
    assert urlsplit(page["Location"]).path == LOGIN

    client.force_login(parent)
    assert client.get("/admin/", follow=True).status_code == 403


def test_staff_sessions_end_when_idle_and_after_a_day_of_work(staff):
    with time_machine.travel(time.time()) as clock:
        idle, busy, family = Client(), Client(), Client()
        for browser in (idle, busy):
            browser.force_login(staff)
            assert browser.get("/account/password/change/").status_code == 200
        family.force_login(create_guardian(household=create_household()))
        for _ in range(12 * 4 - 1):
            clock.shift(15 * 60)
            assert busy.get("/account/password/change/").status_code == 200
        clock.shift(16 * 60)

        assert idle.get("/account/password/change/").status_code == 302
        assert busy.get("/account/password/change/").status_code == 302
        clock.shift(20 * 24 * 3600)
        assert family.get("/account/password/change/").status_code == 200
