"""The address somebody signs in with, at every door that changes it, and every way an address is typed."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse

from csf.forms.email_address import clean_address
from enrollments.accounts.addresses import change_address
from enrollments.models import User
from notifications.family_data.find import family_of
from notifications.models import EmailMessage, Suppression
from tests.factories import create_guardian, create_household, create_staff, create_totp
from tests.pages import signed_in
from tests.staff_pages import guardian_rows, office

OLD, UPDATED = "old@example.org", "new@example.org"
PASSWORD = "correct-horse-7"
LOGIN_CODE, CODE = "/account/login/code/", "/account/login/code/confirm/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def parent():
    user = create_guardian(household=create_household(children=0), email=OLD)
    user.set_password(PASSWORD)
    user.save()
    return user


def is_in(browser):
    return browser.get("/account/children/").status_code == 200


def by_account_page(parent):
    form = {"email": UPDATED, "first_name": "Pat", "last_name": "G", "is_active": "on"}
    browser = signed_in(office("change_user", "view_user"))
    url = reverse("admin:enrollments_user_change", args=[parent.pk])
    assert browser.post(url, form | {"household": parent.household_id}).status_code == 302


def by_family_page(parent):
    rights = ("change_household", "view_household", "change_user", "view_user", "view_child", "change_child")
    browser = signed_in(office(*rights))
    url = reverse("admin:enrollments_household_change", args=[parent.household_id])
    answer = browser.post(url, guardian_rows(parent.household, email=UPDATED))
    assert answer.status_code == 302, answer.text


def by_function(parent):
    change_address(user=parent, to=" NEW@Example.ORG ")


def by_shell(parent):
    User.objects.filter(pk=parent.pk).update(email=UPDATED)


def by_sql(parent):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE enrollments_user SET email = %s WHERE id = %s", [UPDATED, parent.pk])


DOORS = [by_account_page, by_family_page, by_function, by_shell, by_sql]
PROPER_DOORS = DOORS[:3]


@pytest.mark.parametrize("replace", DOORS)
def test_an_address_that_was_replaced_opens_the_account_no_more(parent, replace):
    inside, asked = signed_in(parent), Client()
    asked.post(LOGIN_CODE, {"email": OLD})
    code_before = EmailMessage.objects.get(kind="account_login_code").facts["code"]
    Client().post("/account/password/reset/", {"email": OLD})
    link = EmailMessage.objects.get(kind="account_password_reset").facts["reset_path"]

    replace(parent)
    cache.clear()

    parent.refresh_from_db()
    assert parent.email == UPDATED
    assert not is_in(inside), "a session from before"
    asked.post(CODE, {"code": code_before})
    assert not is_in(asked), "a code from before"
    assert "no longer works" in Client().get(link, follow=True).text, "a link from before"
    later = Client()
    later.post(LOGIN_CODE, {"email": OLD})
    assert EmailMessage.objects.filter(kind="account_login_code").count() == 1, "a code to the old address"
    later.post("/account/login/", {"login": OLD, "password": PASSWORD})
    assert not is_in(later)


@pytest.mark.parametrize("replace", PROPER_DOORS)
def test_both_addresses_hear_of_it_and_the_new_one_signs_in(parent, replace):
    replace(parent)

    notices = EmailMessage.objects.filter(kind="account_notice").order_by("pk")
    assert [(row.to, row.facts["event"]) for row in notices] == [
        (OLD, "email_changed"),
        (UPDATED, "email_changed"),
    ]
    browser = Client()
    browser.post("/account/login/", {"login": UPDATED, "password": PASSWORD})
    assert not is_in(browser), "the old password"
    browser.post(LOGIN_CODE, {"email": UPDATED})
    browser.post(CODE, {"code": EmailMessage.objects.get(kind="account_login_code").facts["code"]})
    assert is_in(browser)
    assert EmailAddress.objects.get(user=parent).verified


def test_a_code_that_would_confirm_the_old_address_does_not_bring_it_back(client):
    form = {"first_name": "M", "last_name": "M", "email": OLD, "password1": PASSWORD}
    client.post("/account/signup/", form)
    code = EmailMessage.objects.get(kind="account_confirm_email").facts["code"]
    user = User.objects.get()

    change_address(user=user, to=UPDATED)
    client.post("/account/confirm-email/", {"code": code})

    user.refresh_from_db()
    assert user.email == UPDATED
    assert not is_in(client)
    assert [*EmailAddress.objects.values_list("email", "verified")] == [(UPDATED, False)]


def test_an_address_that_is_taken_is_refused_by_its_field(parent):
    create_guardian(household=create_household(), email="taken@xn--bcher-kva.example")
    browser = signed_in(office("change_user", "view_user"))
    url = reverse("admin:enrollments_user_change", args=[parent.pk])

    answer = browser.post(url, {"email": "Taken@BÜCHER.example", "is_active": "on"})

    assert "email" in answer.context["adminform"].form.errors
    parent.refresh_from_db()
    assert parent.email == OLD


# --- Typed addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Maria@Example.ORG", "maria@example.org"),
        ("  maria@example.org\t", "maria@example.org"),
        ("maria@BÜCHER.example", "maria@xn--bcher-kva.example"),
        ("maria@bu\u0308cher.example", "maria@xn--bcher-kva.example"),
        ("maria@xn--bcher-kva.example", "maria@xn--bcher-kva.example"),
        ("maria@例え.example", "maria@xn--r8jz45g.example"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_one_address_typed_in_any_form_is_one_account(typed, kept):
    first = Client()
    form = {"first_name": "M", "last_name": "M", "password1": PASSWORD}
    first.post("/account/signup/", form | {"email": typed})
    first.post("/account/confirm-email/", {"code": EmailMessage.objects.get().facts["code"]})
    assert User.objects.get().email == kept == clean_address(kept)

    with_password, with_code = Client(), Client()
    with_password.post("/account/login/", {"login": typed, "password": PASSWORD})
    with_code.post(LOGIN_CODE, {"email": typed})
    with_code.post(CODE, {"code": EmailMessage.objects.get(kind="account_login_code").facts["code"]})
    Client().post("/account/password/reset/", {"email": typed})

    assert (is_in(first), is_in(with_password), is_in(with_code)) == (True, True, True)
    assert EmailMessage.objects.filter(kind="account_password_reset", to=kept).exists()


def test_staff_may_type_an_address_as_its_owner_writes_it(client):
    """In the list of addresses that get no email, and to the commands about a family."""
    family = create_household(children=0)
    family.guardians.update(email="maria@xn--bcher-kva.example")
    client.force_login(create_staff())
    form = {"address": "Maria@BÜCHER.example ", "scope": "all", "detail": "asked by phone"}

    answers = [client.post(reverse("admin:notifications_suppression_add"), form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 200]
    assert Suppression.objects.get().address == "maria@xn--bcher-kva.example"
    assert family_of("MARIA@bücher.example") == family
    assert family_of("nobody@") is None


BAD = [
    "a" * 255 + "@example.org",
    "a@" + "b" * 250 + ".org",
    "a" * 65 + "@example.org",
    "a@" + ".".join(["ü" * 30] * 6) + ".example",
    "a@[127.0.0.1]",
    "a@[IPv6:::1]",
    "a@127.0.0.1",
    "a@localhost",
    '"a b"@example.org',
    "märia@example.org",
    "a@example.org\r\nBcc: b@example.org",
    "a@example.org\0",
    "a@exam\u200bple.org",
    "a@b@example.org",
    "a@-example.org",
    "@",
    "a@\U0001f600.example",
]
FORMS = [
    ("/account/signup/", "email", {"first_name": "M", "last_name": "M", "password1": PASSWORD}),
    ("/account/login/", "login", {"password": PASSWORD}),
    (LOGIN_CODE, "email", {}),
    ("/account/password/reset/", "email", {}),
    ("/account/emails/invite/", "email", {"first_name": "M", "last_name": "M"}),
]


@pytest.mark.parametrize(("path", "field", "others"), FORMS)
def test_what_is_no_address_is_refused_by_its_field_and_mails_nobody(path, field, others, parent):
    browser = signed_in(parent.household.guardians.earliest("pk")) if "invite" in path else Client()
    for typed in BAD:
        cache.clear()
        answer = browser.post(path, others | {field: typed})
        assert (answer.status_code, list(answer.context["form"].errors)) == (200, [field]), typed
    assert not EmailMessage.objects.exists()


@pytest.mark.parametrize("typed", BAD)
def test_no_account_is_made_or_changed_with_what_is_no_address(typed, parent):
    with pytest.raises(ValidationError):
        User.objects.create_user(typed)
    with pytest.raises(ValidationError):
        change_address(user=parent, to=typed)


# --- Accounts that somebody else began ----------------------------------------------------------------------

STRANGERS = {"first_name": "Mallory", "last_name": "M", "email": "victim@example.org", "password1": PASSWORD}


def sign_in_by_code(browser, email):
    browser.post(LOGIN_CODE, {"email": email})
    code = EmailMessage.objects.filter(kind="account_login_code").latest("pk").facts["code"]
    browser.post(CODE, {"code": code})


def test_whoever_signed_up_with_a_foreign_address_cannot_get_in_after_its_owner_did(client):
    """Pre-hijacking: the attacker signs up with the victim's address and a password, and never confirms."""
    client.post("/account/signup/", STRANGERS)
    victim = Client()
    sign_in_by_code(victim, STRANGERS["email"])
    page = victim.get("/account/children/")
    assert page.status_code == 200
    assert "password chosen at sign-up no longer works" in page.text

    attacker = Client()
    attacker.post("/account/login/", {"login": STRANGERS["email"], "password": PASSWORD})
    client.get("/account/children/")

    assert not is_in(attacker)
    assert not is_in(client)


def test_nothing_a_stranger_left_in_the_account_survives_its_first_confirmation(client):
    client.post("/account/signup/", STRANGERS)
    user = User.objects.get()
    create_totp(user=user)
    EmailAddress.objects.create(user=user, email="mallory@example.org")

    victim = Client()
    sign_in_by_code(victim, STRANGERS["email"])

    assert is_in(victim)
    assert not Authenticator.objects.exists()
    assert [*EmailAddress.objects.values_list("email", flat=True)] == [STRANGERS["email"]]


@pytest.mark.parametrize("again", ["same browser", "password typed elsewhere"])
def test_who_chose_the_password_keeps_it(client, again):
    client.post("/account/signup/", STRANGERS)
    browser = client
    if again != "same browser":
        cache.clear()
        browser = Client()
        browser.post("/account/login/", {"login": STRANGERS["email"], "password": PASSWORD})
    code = EmailMessage.objects.filter(kind="account_confirm_email").latest("pk").facts["code"]
    browser.post("/account/confirm-email/", {"code": code})

    assert is_in(browser)
    assert User.objects.get().check_password(PASSWORD)


# --- A stranger's mailbox -----------------------------------------------------------------------------------

TYPED = {
    "sign-up": ("/account/signup/", STRANGERS),
    "code": (LOGIN_CODE, {"email": STRANGERS["email"]}),
    "new password": ("/account/password/reset/", {"email": STRANGERS["email"]}),
}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("door", TYPED)
def test_nobody_fills_a_strangers_mailbox_by_typing_the_address(door, is_known):
    """Only the visitor's address was limited, 20 a minute; 28,800 emails a day to one family."""
    if is_known:
        create_guardian(household=create_household(children=0), email=STRANGERS["email"])
    path, form = TYPED[door]
    for number in range(15):
        Client(REMOTE_ADDR=f"192.0.2.{number}").post(path, form)
    told = EmailMessage.objects.filter(to=STRANGERS["email"]).count()
    assert 1 <= told <= 3, f"{told} emails to one address within seconds"


def test_all_doors_together_count_for_one_mailbox_and_others_still_get_their_codes():
    parent = create_guardian(household=create_household(children=0), email=STRANGERS["email"])
    for number in range(5):
        for path, form in TYPED.values():
            Client(REMOTE_ADDR=f"192.0.2.{number}").post(path, form)
    assert EmailMessage.objects.filter(to=parent.email).count() <= 5  # three codes or links, two notices

    create_guardian(household=create_household(children=0), email="other@example.org")
    assert Client().post(LOGIN_CODE, {"email": "other@example.org"}).status_code == 302
    assert EmailMessage.objects.filter(to="other@example.org", kind="account_login_code").exists()


def test_asking_for_the_code_again_and_again_is_refused_on_the_page(client):
    client.post(LOGIN_CODE, {"email": OLD})
    create_guardian(household=create_household(children=0), email=STRANGERS["email"])
    browser = Client()
    browser.post(LOGIN_CODE, {"email": STRANGERS["email"]})
    answers = [browser.post(CODE, {"action": "resend"}).status_code for _ in range(6)]

    assert answers[0] == 302
    assert EmailMessage.objects.filter(to=STRANGERS["email"]).count() <= 3


def test_a_whole_school_signs_up_from_one_address(settings):
    answers = []
    for number in range(30):
        form = STRANGERS | {"email": f"family{number}@example.org"}
        answers.append(Client().post("/account/signup/", form).status_code)
    assert answers == [302] * 30
