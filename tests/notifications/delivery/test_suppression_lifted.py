"""How an address comes off the suppression list, and what people see of the list."""

from types import SimpleNamespace

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from csf.clock import Now
from csf.models import StaffTask
from csf.staff.fingerprint import fingerprint_of
from enrollments.models import User
from notifications.models import EmailAct, EmailMessage, Suppression
from notifications.sending.drain import drain
from tests.factories import create_household, create_staff
from tests.notifications.delivery.suppressed import SECOND, stop
from tests.notifications.outbox_rows import make_due, owe, posted, states
from tests.pages import parent_of, words


@pytest.mark.django_db
def test_a_confirmed_address_takes_mail_and_what_was_chosen_stays(mail_server):
    user = create_household().guardians.get()
    address = EmailAddress.objects.get(user=user)
    stop(user.email)
    Suppression.objects.create(address=user.email, scope="non_essential", cause="complained")
    stop("other@example.org")

    email_confirmed.send(EmailAddress, request=SimpleNamespace(user=user), email_address=address)

    lifted = Suppression.objects.exclude(lifted_at=None).get()
    assert (lifted.address, lifted.scope, lifted.lifted_by) == (user.email, "all", None)
    assert lifted.lift_reason
    assert Suppression.objects.in_force().count() == 2


def office(*names):
    """A client of a person with these rights."""
    staff = create_staff(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(staff)
    client.user = staff
    return client


RIGHTS = ["view_suppression", "change_suppression", "add_suppression", "view_emailmessage"]


def act(client, row, name, **data):
    url = reverse("admin:notifications_suppression_act", args=[row.pk, name])
    page = client.get(url)
    if page.status_code != 200:
        return page
    fingerprint = page.context["facts"].fingerprint
    return client.post(
        url, {"fingerprint": fingerprint, "reason": "They called: it works again."} | data, follow=True
    )


@pytest.mark.django_db
def test_staff_lift_it_with_a_reason_and_send_what_is_still_worth_it(mail_server):
    client = office(*RIGHTS)
    row = stop("pat+0@example.org")
    good, late, code, fixed, other = owe(5, to="pat+0@example.org")
    change = lambda email, **fields: EmailMessage.objects.filter(pk=email.pk).update(**fields)  # noqa: E731
    change(code, kind="account_login_code", context={})
    change(fixed, kind="account_notice")
    change(other, to="pat+1@example.org", status="suppressed", error=row.reason)
    drain()
    change(late, expires_at=Now() - SECOND)
    User.objects.filter(pk=good.recipient_id).update(email="new@example.org")

    answer = act(client, row, "lift", also_send="on")

    row.refresh_from_db()
    assert (row.lifted_by, row.lift_reason) == (client.user, "They called: it works again.")
    assert "SendGrid keeps its own" in answer.text
    assert not StaffTask.objects.open().exists()
    assert states("status", "to", "error")[:5] == [
        ("queued", "new@example.org", ""),
        ("suppressed", "pat+0@example.org", row.reason),
        ("suppressed", "pat+0@example.org", row.reason),
        ("queued", "pat+0@example.org", ""),
        ("suppressed", "pat+1@example.org", row.reason),
    ]
    acts = EmailAct.objects.order_by("message").values_list("message", "act", "by", "reason")
    assert [act[:3] for act in acts] == [(e.pk, "requeued", client.user.pk) for e in (good, fixed)]
    make_due()
    drain()
    assert posted(mail_server)[str(good.public_id)] == 1


@pytest.mark.django_db
def test_lifted_by_two_at_once_it_is_lifted_once():
    client = office(*RIGHTS)
    row = stop("pat@example.org")
    url = reverse("admin:notifications_suppression_act", args=[row.pk, "lift"])
    fingerprint = client.get(url).context["facts"].fingerprint
    Suppression.objects.all().lift(reason="first")

    answer = client.post(url, {"fingerprint": fingerprint, "reason": "second"})

    assert "Something has changed" in answer.text
    assert Suppression.objects.get().lift_reason == "first"


@pytest.mark.django_db
@pytest.mark.parametrize(("right", "answer"), [("change_suppression", 302), ("add_suppression", 403)])
def test_only_those_who_may_change_it_lift_it(right, answer):
    client = office("view_suppression", right)
    row = stop("pat@example.org")
    url = reverse("admin:notifications_suppression_act", args=[row.pk, "lift"])

    assert client.post(url, {"fingerprint": fingerprint_of(None, 0), "reason": "x"}).status_code == answer


@pytest.mark.django_db
def test_staff_add_one_by_hand_once():
    client = office(*RIGHTS)
    add = reverse("admin:notifications_suppression_add")
    form = {"address": "Pat@Example.org", "scope": "all", "detail": "They moved away."}

    assert client.post(add, form).status_code == 302
    again = client.post(add, form)
    without_reason = client.post(add, form | {"address": "x@example.org", "detail": ""})

    row = Suppression.objects.get()
    assert (row.address, row.cause, row.added_by, row.detail) == (
        "pat@example.org",
        "staff",
        client.user,
        "They moved away.",
    )
    assert "already suppressed in this way" in again.text
    assert "This field is required" in without_reason.text
    page = client.get(reverse("admin:notifications_suppression_change", args=[row.pk]))
    assert "They moved away." in page.text


@pytest.mark.django_db
def test_a_family_that_gets_no_mail_is_told_on_its_pages():
    household = create_household()
    user = household.guardians.get()
    client = parent_of(household)
    stop("somebody@example.org")
    Suppression.objects.create(address=user.email.lower(), scope="non_essential", cause="complained")
    assert "are not arriving" not in words(client.get("/account/"))

    row = stop(user.email.lower())
    for path in ("/", "/account/", "/account/children/", "/cart/", reverse("account_email")):
        answer = client.get(path)
        assert f"Emails to {user.email} are not arriving" in words(answer)
        assert reverse("account_email") in answer.text

    Suppression.objects.filter(pk=row.pk).lift(reason="x", by=None)
    assert "are not arriving" not in words(client.get("/account/"))
    assert "are not arriving" not in words(Client().get("/"))


@pytest.mark.django_db
def test_the_sign_in_page_does_not_tell_which_addresses_take_no_mail(mail_server):
    dead, alive = (create_household().guardians.get() for _ in range(2))
    stop(dead.email.lower())

    answers = []
    for user in (dead, alive):
        answer = Client().post(reverse("account_request_login_code"), {"email": user.email}, follow=True)
        answers.append(words(answer).replace(user.email, "the address"))
    EmailMessage.objects.update(next_attempt_at=timezone.now() - SECOND)
    drain()

    assert answers[0] == answers[1]
    assert {(m.to, m.status) for m in EmailMessage.objects.all()} == {
        (dead.email, "suppressed"),
        (alive.email, "sent"),
    }


@pytest.mark.django_db
def test_the_page_of_a_family_shows_its_addresses_that_get_no_mail(admin_client):
    household = create_household()
    user = household.guardians.get()
    stop(user.email.lower(), detail="550 gone")
    stop("else@example.org", detail="550 not theirs")

    page = admin_client.get(reverse("admin:enrollments_household_change", args=[household.pk]))

    assert "550 gone" in page.text
    assert "550 not theirs" not in page.text
