"""`manage.py create_owner`: the first owner gets in without any email; and the four groups of staff."""

from datetime import datetime, timedelta
from io import StringIO

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from csf.staff.roles import Role, make_roles
from enrollments.accounts.first_sign_in import tokens
from enrollments.models import User
from notifications.models import EmailMessage
from tests.factories import create_household, create_staff, create_totp

pytestmark = pytest.mark.django_db


def create_owner(email="owner@example.org"):
    """The path of the link that the command prints."""
    out = StringIO()
    call_command("create_owner", email, stdout=out)
    assert f"{email.lower()} is an owner" in out.getvalue()
    return "/account/" + out.getvalue().split("/account/")[1].strip()


def is_signed_in(client):
    return "_auth_user_id" in client.session


def test_the_first_owner_gets_in_once_without_an_email(client):
    link = create_owner("Owner@Example.org")
    looked = [client.get(link).status_code for _ in range(3)]
    answer = client.post(link)
    user = User.objects.get()

    assert looked == [200, 200, 200]
    assert answer.url == reverse("admin:index")
    assert is_signed_in(client)
    assert client.get(reverse("admin:index")).status_code == 200
    assert (user.email, user.is_staff, user.is_superuser) == ("owner@example.org", True, True)
    assert not user.has_usable_password()
    assert [group.name for group in user.groups.all()] == ["Owner"]
    assert EmailAddress.objects.get().verified
    assert not EmailMessage.objects.exists()

    again = Client()
    assert [again.get(link).status_code, again.post(link).status_code] == [404, 404]
    assert not is_signed_in(again)


def test_the_second_factor_is_asked_for(client, settings):
    settings.STAFF_MFA_REQUIRED = True
    client.post(create_owner())
    to_set_up = client.get(reverse("admin:index"))
    page = client.get(reverse("mfa_activate_totp"))
    create_totp(user=User.objects.get())
    with_one = Client()
    answer = with_one.post(create_owner())

    assert to_set_up.url == reverse("mfa_activate_totp")
    assert page.status_code == 200
    assert answer.url.startswith(reverse("mfa_authenticate"))
    assert not is_signed_in(with_one)


def test_a_link_ends_after_a_day_and_with_any_other_sign_in(client, monkeypatch):
    link, other = create_owner(), create_owner()
    client.post(other)
    assert Client().post(link).status_code == 404

    late = create_owner()
    monkeypatch.setattr(tokens, "_now", lambda: datetime.now() + timedelta(hours=25))
    assert Client().post(late).status_code == 404


@pytest.mark.parametrize("what", ["no address", "empty", "of a family", "switched off"])
def test_what_cannot_be_an_owner_is_refused_in_words(what):
    address = {"no address": "owner", "empty": ""}.get(what)
    if what == "of a family":
        address = create_household().guardians.get().email
    if what == "switched off":
        address = create_staff(is_active=False).email

    with pytest.raises(CommandError) as refused:
        create_owner(address)

    assert "Traceback" not in str(refused.value)
    assert not Group.objects.filter(user__isnull=False).exists()


def test_a_changed_link_signs_nobody_in(client):
    link = create_owner().rstrip("/")
    for bad in (link[:-1] + "x", link + "-1", link.rsplit("/", 1)[0] + "/x"):
        assert client.post(bad + "/").status_code == 404
    assert not is_signed_in(client)


def test_the_four_groups_are_as_the_table_says_and_a_repeat_changes_nothing():
    make_roles()
    first = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in groups()}
    Group.objects.get(name="Office").permissions.clear()
    make_roles()
    second = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in groups()}

    assert first == second
    assert list(first) == ["Coach", "Finance", "Office", "Owner"]
    assert first["Coach"] == {"view_program", "view_location", "view_course", "view_coursesession"}
    assert "approve_refund" in first["Finance"] - first["Office"]
    assert "add_course" in first["Office"] - first["Finance"]
    assert first["Owner"] > first["Office"] | first["Finance"]


def groups():
    return Group.objects.filter(name__in=[role.value for role in Role]).order_by("name")


@pytest.mark.parametrize("role", [role.value for role in Role])
def test_each_role_can_open_the_staff_site(client, role):
    make_roles()
    user = create_staff(is_superuser=False)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)

    pages = {
        name: client.get(reverse(f"admin:{name}_changelist")).status_code
        for name in ("enrollments_course", "enrollments_child", "billing_payment")
    }

    assert client.get(reverse("admin:index")).status_code == 200
    seen = {"Coach": (200, 403, 403)}.get(role, (200, 200, 200))
    assert tuple(pages.values()) == seen
