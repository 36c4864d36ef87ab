"""Signing up and in, as a browser does it; the codes are read from the outbox, as the drain reads them."""

import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from csf.forms.names import one_line
from enrollments.accounts.sign_up import SignupForm
from enrollments.models import Household, User
from notifications.models import EmailMessage
from notifications.rendering.render import render
from orders.models import OrderStatus
from tests.factories import (
    create_cart,
    create_guardian,
    create_household,
    create_order,
    create_staff,
    create_totp,
)

PASSWORD = "correct-horse-7"
NEW = {"first_name": "Maria", "last_name": "Lopez", "email": "maria@example.org", "password1": PASSWORD}
CONFIRM, LOGIN, LOGIN_CODE, CODE = (
    "/account/confirm-email/",
    "/account/login/",
    "/account/login/code/",
    ("/account/login/code/confirm/"),
)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def parent():
    user = create_guardian(household=create_household())
    user.set_password(PASSWORD)
    user.save()
    return user


def last_facts(kind):
    return EmailMessage.objects.filter(kind=kind).order_by("-pk")[0].facts


def last_code(kind="account_confirm_email"):
    return last_facts(kind)["code"]


def wrong(code):
    return "000000" if code != "000000" else "111111"


def is_signed_in(client):
    return "_auth_user_id" in client.session


def words(response):
    """A page without what differs from visit to visit."""
    return re.sub(r'value="\w{64}"', "", response.content.decode())


# --- Sign-up ------------------------------------------------------------------------------------------------


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


# --- Passwords and addresses --------------------------------------------------------------------------------


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


# --- Money needs a confirmed address ------------------------------------------------------------------------


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


# --- Staff --------------------------------------------------------------------------------------------------


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
