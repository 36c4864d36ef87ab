"""Accounts with rights are the owner's matter: each way in which the office's pages could take one over."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from enrollments.models import User
from notifications.models import EmailMessage
from tests.factories import create_guardian, create_household, create_staff
from tests.pages import signed_in
from tests.staff_pages import guardian_rows, office

NEW_PASSWORD = "Tr0ub4dor-and-3"
CLERK = ["change_user", "view_user", "add_user", "change_household", "view_household", "view_child"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


def approver(**fields):
    user = User.objects.create(**{"email": "finance@example.org", "is_staff": True} | fields)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    user.user_permissions.set(Permission.objects.filter(codename="approve_refund"))
    return user


TARGETS = {
    "an approver": lambda: approver(),
    "a superuser": lambda: create_staff(email="owner@example.org"),
    "rights without the staff mark": lambda: approver(is_staff=False),
    "staff who are parents": lambda: approver(household=create_household(children=0)),
}


def state_of(user):
    row = User.objects.values("email", "password", "is_active", "is_staff", "is_superuser", "household")
    addresses = EmailAddress.objects.filter(user=user).values_list("email", flat=True)
    return row.get(pk=user.pk), list(addresses), list(user.groups.all())


def test_no_clerk_sets_the_password_of_the_one_who_approves_refunds(client):
    """'Another person must approve': two accounts of one person are enough."""
    user = approver()
    client.force_login(office("change_user", "view_user"))
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    client.post(url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"})
    user.refresh_from_db()
    assert not user.check_password(NEW_PASSWORD)


@pytest.mark.parametrize("target", TARGETS)
def test_a_clerk_changes_nothing_of_an_account_with_rights(target):
    user = TARGETS[target]()
    household = user.household or create_household(children=0)
    before = state_of(user)
    clerk = signed_in(office(*CLERK))
    page = reverse("admin:enrollments_user_change", args=[user.pk])
    takeover = {"email": "clerk2@example.org", "first_name": "X", "last_name": "Y", "household": household.pk}

    answers = [
        clerk.post(page, takeover),
        clerk.post(page, takeover | {"is_active": "on", "is_staff": "on", "is_superuser": "on"}),
        clerk.post(reverse("admin:auth_user_password_change", args=[user.pk]), {"password1": NEW_PASSWORD}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert state_of(user) == before
    assert not EmailMessage.objects.exists()


@pytest.mark.parametrize("changes", [{"email": "clerk2@example.org"}, {"is_active": ""}, {"first_name": "X"}])
@pytest.mark.parametrize("target", TARGETS)
def test_the_page_of_a_family_reaches_no_account_with_rights(target, changes):
    user = TARGETS[target]()
    User.objects.filter(pk=user.pk).update(household=user.household or create_household(children=0))
    user.refresh_from_db()
    before = state_of(user)
    clerk = signed_in(office(*CLERK))

    answer = clerk.post(
        reverse("admin:enrollments_household_change", args=[user.household_id]),
        guardian_rows(user.household, **{name: value or None for name, value in changes.items()}),
    )

    assert answer.status_code in {200, 302}
    assert state_of(user) == before
    user.refresh_from_db()
    assert user.first_name != "X"


@pytest.mark.parametrize("who", ["clerk", "owner"])
def test_nobody_puts_themselves_into_a_family_or_raises_their_own_rights(who):
    household = create_household(children=0)
    by = office(*CLERK) if who == "clerk" else create_staff(email="owner@example.org", is_superuser=True)
    Group.objects.create(name="Finance")
    before = state_of(by)

    signed_in(by).post(
        reverse("admin:enrollments_user_change", args=[by.pk]),
        {"email": by.email, "household": household.pk, "is_active": "on", "is_staff": "on"}
        | {"is_superuser": "on", "groups": [Group.objects.get().pk]},
    )
    form = guardian_rows(household)
    form |= {"guardians-TOTAL_FORMS": 2, "guardians-1-email": by.email, "guardians-1-household": household.pk}
    form |= {"guardians-1-id": by.pk, "guardians-1-is_active": "on"}
    signed_in(by).post(reverse("admin:enrollments_household_change", args=[household.pk]), form)

    assert state_of(by) == before


def test_a_clerk_makes_accounts_without_rights_and_without_a_password():
    clerk = signed_in(office(*CLERK))
    form = {"email": "new@example.org", "is_staff": "on", "is_superuser": "on", "password1": NEW_PASSWORD}

    clerk.post(reverse("admin:enrollments_user_add"), form | {"password2": NEW_PASSWORD})

    made = User.objects.get(email="new@example.org")
    assert (made.is_staff, made.is_superuser, made.has_usable_password()) == (False, False, False)


def test_who_manages_staff_gives_what_they_have_and_no_more():
    """An owner who is no superuser."""
    by = office("change_user", "view_user", "change_group", "manage_staff", "view_household")
    colleague = User.objects.create(email="coach@example.org", is_staff=True)
    within, beyond = Group.objects.create(name="Desk"), Group.objects.create(name="Finance")
    within.permissions.set(Permission.objects.filter(codename="view_household"))
    beyond.permissions.set(Permission.objects.filter(codename__in=["view_household", "approve_refund"]))
    page = reverse("admin:enrollments_user_change", args=[colleague.pk])
    form = {"email": colleague.email, "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    browser = signed_in(by)

    given = browser.post(page, form | {"groups": [within.pk]})
    refused = browser.post(page, form | {"groups": [within.pk, beyond.pk]})

    colleague = User.objects.get(pk=colleague.pk)
    assert (given.status_code, colleague.is_superuser, [*colleague.groups.all()]) == (302, False, [within])
    assert list(refused.context["adminform"].form.errors) == ["groups"]
    approve = Permission.objects.get(codename="approve_refund")
    for group in (within, beyond):
        answer = browser.post(
            reverse("admin:auth_group_change", args=[group.pk]),
            {"name": group.name, "permissions": [approve.pk]},
        )
        assert answer.status_code == (403 if group == beyond else 200)
    assert not within.permissions.filter(pk=approve.pk).exists()


def test_a_clerk_with_the_right_to_change_groups_changes_none():
    group = Group.objects.create(name="Desk")
    clerk = signed_in(office("change_group", "add_group", "delete_group", "view_group"))

    url = reverse("admin:auth_group_change", args=[group.pk])
    assert clerk.post(url, {"name": "Mine"}).status_code == 403
    assert clerk.post(reverse("admin:auth_group_add"), {"name": "Mine"}).status_code == 403
    assert Group.objects.get().name == "Desk"


def test_the_office_sends_a_link_with_which_a_parent_sets_the_password():
    parent = create_guardian(household=create_household(children=0), email="parent@example.org")
    clerk = signed_in(office(*CLERK))
    url = reverse("admin:auth_user_password_change", args=[parent.pk])

    page = clerk.get(url)
    sent = clerk.post(url)

    assert "parent@example.org" in page.text
    assert sent["Location"] == reverse("admin:enrollments_user_change", args=[parent.pk])
    link = EmailMessage.objects.get(kind="account_password_reset", to=parent.email).facts["reset_path"]
    browser = Client()
    form = browser.get(link)
    browser.post(form["Location"], {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    parent.refresh_from_db()
    assert parent.check_password(NEW_PASSWORD)


def test_staff_who_change_their_password_are_told_by_email(client):
    user = create_staff()
    user.set_password("correct-horse-7")
    user.save()
    client.force_login(user)
    form = {"oldpassword": "correct-horse-7", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

    page = client.get(reverse("admin:password_change"))
    client.post(page.url, form)

    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)
    notice = EmailMessage.objects.get(kind="account_notice")
    assert (notice.to, notice.facts["event"]) == (user.email, "password_changed")


@pytest.mark.parametrize("to", ["nobody", "another family"])
def test_the_only_guardian_of_children_stays_in_their_family(client, to):
    """Nobody could be told of the children, and the pages of their orders would have no address. Who led one
    family does not take over the next."""
    family, other = create_household(children=1), create_household(children=1)
    guardian = family.guardians.get()
    client.force_login(create_staff())
    url = reverse("admin:enrollments_user_change", args=[guardian.pk])
    form = {"email": guardian.email, "is_active": "on", "household": other.pk if to != "nobody" else ""}
    guardian.lead_family(at=timezone.now())

    refused = client.post(url, form)
    create_guardian(household=family)
    taken = client.post(url, form)

    assert "would have no guardian left" in refused.text
    assert taken.status_code == 302
    guardian.refresh_from_db()
    assert guardian.household == (other if to != "nobody" else None)
    assert guardian.leads_since is None
