"""A colleague's first email invites them, and their first sign-in leads to the office."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from csf.staff.roles import make_roles
from enrollments.models import User
from notifications.models import EmailMessage
from notifications.rendering.render import render
from tests.factories import create_household, create_staff
from tests.pages import signed_in

PASSWORD = "Tr0ub4dor-and-3"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


def colleague(**fields):
    make_roles()
    user = User(email="joerg@example.org", is_staff=True, **fields)
    user.set_unusable_password()
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    user.groups.add(Group.objects.get(name="Coach"))
    return user


def send_link(by, user):
    signed_in(by).post(reverse("admin:auth_user_password_change", args=[user.pk]))
    return EmailMessage.objects.latest("pk")


def test_a_colleague_is_invited_and_lands_in_the_office(settings):
    settings.STAFF_MFA_REQUIRED = False
    owner, user = create_staff(first_name="Ada", last_name="Boss"), colleague()

    sent = send_link(owner, user)
    mail = render("staff_invitation", sent.facts)
    browser = Client()
    page = browser.get(sent.facts["reset_path"], follow=True)
    browser.post(page.redirect_chain[-1][0], {"password1": PASSWORD, "password2": PASSWORD})
    arrived = browser.post("/account/login/", {"login": user.email, "password": PASSWORD}, follow=True)

    assert sent.kind == "staff_invitation"
    assert mail.subject == f"Ada Boss invites you to the staff pages of {settings.SCHOOL_NAME}"
    for words in ("Coach: seeing classes", f"{settings.SITE_URL}/admin/", "expires in 60 minutes"):
        assert words in " ".join(mail.text.split())
    assert "new password" not in mail.text
    assert arrived.redirect_chain[-1] == ("/admin/", 302)


def test_who_asks_for_a_password_or_has_one_is_not_invited():
    owner, user = create_staff(), colleague()
    Client().post("/account/password/reset/", {"email": user.email})
    asked = EmailMessage.objects.latest("pk")
    user.set_password(PASSWORD)
    user.save()

    again = send_link(owner, user)

    assert [asked.kind, again.kind] == ["account_password_reset"] * 2


def test_groups_say_what_they_are_for_and_only_a_superuser_reads_of_superusers():
    user, owner, head = colleague(), create_staff(), create_staff(is_superuser=False)
    head.groups.add(Group.objects.get(name="Owner"))
    page = reverse("admin:enrollments_user_change", args=[user.pk])

    shown = [signed_in(by).get(page).text for by in (owner, head)]

    assert ["Finance: seeing everything" in text for text in shown] == [True, True]
    assert ['name="is_superuser"' in text for text in shown] == [True, False]


def test_a_parent_who_is_staff_too_still_lands_in_the_catalog(settings):
    settings.STAFF_MFA_REQUIRED = False
    user = colleague(household=create_household(children=0))
    user.set_password(PASSWORD)
    user.save()

    answer = Client().post("/account/login/", {"login": user.email, "password": PASSWORD})

    assert answer.url == "/"
