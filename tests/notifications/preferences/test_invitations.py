"""Another guardian of a family is invited: what the link opens, until when, and for whom."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from enrollments.accounts.addresses import AddressTaken
from enrollments.models import GuardianInvitation, User
from notifications.facts.links import invitation_path
from notifications.facts.recipients import guardians
from notifications.models import EmailMessage, EmailPreference
from notifications.preferences.joining import join_family
from notifications.preferences.rules import COPIES, choices_of, choose
from notifications.sending.drain import drain
from tests.factories import (
    create_guardian,
    create_household,
    create_staff,
)
from tests.notifications.preferences.guardians import INVITE, NEW, invited, reader
from tests.pages import words
from tests.waiting import Meeting


def test_an_invited_guardian_says_yes_gets_copies_and_signs_in_with_a_code(household, lead, mail_server):
    page = lead.get(INVITE)
    assert "They can then do everything you can" in words(page)
    answer = lead.post(INVITE, NEW, follow=True)
    assert "We are sending an invitation to robin@example.org." in words(answer)
    assert "Invited" in words(answer)

    drain()
    [message] = mail_server.messages(kind="guardian_invitation")
    path = re.search(r"/invitation/\S+/", message["text"])[0]
    assert (message["to"], path) == (["robin@example.org"], invitation_path(invited()))
    assert "Robin" not in message["text"]  # a name that somebody else typed
    assert not User.objects.filter(email="robin@example.org").exists()

    visitor = Client(enforce_csrf_checks=True)
    asked = visitor.get(path)
    assert "Pat Garcia invites you to the Garcia family" in words(asked)
    assert "robin@example.org" not in asked.text
    assert not User.objects.filter(email="robin@example.org").exists()
    assert guardians(household) == [household.guardians.get()]
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', asked.text)[1]
    for _ in range(2):
        joined = visitor.post(path, {"csrfmiddlewaretoken": token}, follow=True)
        assert "You have joined the Garcia family" in words(joined)

    user = User.objects.get(email="robin@example.org")
    assert (user.household, user.get_full_name(), user.has_usable_password()) == (
        household,
        "Robin Garcia",
        False,
    )
    assert EmailAddress.objects.get(user=user).verified
    preference = user.email_preferences.get()
    assert (preference.choice, preference.is_on, preference.origin) == (COPIES, True, "invitation")
    assert guardians(household)[1:] == [user]
    assert "Gets copies" in words(lead.get("/account/emails/"))

    visitor = Client()
    visitor.post("/account/login/code/", {"email": "robin@example.org"})
    code = EmailMessage.objects.get(kind="account_login_code").facts["code"]
    visitor.post("/account/login/code/confirm/", {"code": code})
    own = visitor.get("/account/emails/")
    assert own.context["form"][COPIES].value() is True
    assert household.email not in own.text  # and who else gets them is the first guardian's
    assert visitor.get(INVITE).status_code == 404


def test_copies_end_when_either_of_both_says_so(household, lead):
    second = reader(household, first_name="Robin")
    stop = f"/account/emails/copies/{second.public_id}/stop/"
    theirs = Client()
    theirs.force_login(second)
    assert theirs.post(stop).status_code == 404

    for _ in range(2):
        answer = lead.post(stop, follow=True)
        assert "Robin will no longer get copies." in words(answer)
    assert second.email_preferences.get().origin == "guardian"
    assert "Stop copies" not in words(answer)
    assert len(guardians(household)) == 1

    theirs.post("/account/emails/", {COPIES: "on", "installment_reminder": "on"})
    assert guardians(household)[1:] == [second]
    theirs.post("/account/emails/", {"installment_reminder": "on"})
    assert len(guardians(household)) == 1


def test_the_first_guardian_cannot_stop_their_own_mail_or_another_familys(household, lead):
    other = create_household()
    foreign = reader(other)
    for user in (household.guardians.get(), other.guardians.order_by("pk")[0], foreign):
        assert lead.post(f"/account/emails/copies/{user.public_id}/stop/").status_code == 404
    foreign_invitation = GuardianInvitation.objects.create(
        household=other, invited_by=foreign, email="x@example.org", first_name="X", last_name="Y"
    )
    withdraw = f"/account/emails/invitations/{foreign_invitation.public_id}/withdraw/"
    assert lead.post(withdraw).status_code == 404
    assert choices_of(foreign)[COPIES]
    assert GuardianInvitation.objects.open().count() == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"email": "{own}"}, "This is your own address."),
        ({"email": "{second}"}, "This address already belongs to your family."),
        ({"email": "nonsense"}, "Enter a valid email address."),
        ({"email": "pat@localhost"}, "email address"),
        ({"email": "zoë@example.org"}, "email address"),
        ({"email": ""}, "This field is required."),
        ({"first_name": "https://evil.example"}, "A name cannot contain a web address."),
        ({"last_name": " \r\n"}, "This field is required."),
    ],
)
def test_what_cannot_be_invited_is_refused_in_words(household, lead, changes, error):
    second = create_guardian(household=household)
    known = {"{own}": household.email.upper(), "{second}": second.email.upper()}
    data = NEW | {name: known.get(value, value) for name, value in changes.items()}

    answer = lead.post(INVITE, data)

    assert error in words(answer)
    assert not GuardianInvitation.objects.exists()


def test_nobody_learns_from_the_form_who_has_an_account(household, lead, mail_server):
    known, staff = create_household().guardians.get(), create_staff()

    def told(email):
        answer = lead.post(INVITE, NEW | {"email": email}, follow=True)
        assert answer.redirect_chain == [("/account/emails/", 302)]
        lead.post(f"/account/emails/invitations/{invited().public_id}/withdraw/", follow=True)
        page = answer.text.replace(email, "x@example.org").replace(str(invited().public_id), "id")
        return re.sub(r'value="\w{64}"', "", page)

    assert told(known.email) == told(staff.email) == told("nobody@example.org")
    GuardianInvitation.objects.update(withdrawn_at=None)
    drain()
    for message in mail_server.messages(kind="guardian_invitation"):
        has_account = message["to"] != ["nobody@example.org"]
        assert ("You already sign in with this address" in " ".join(message["text"].split())) == has_account
        assert ("/invitation/" in message["text"]) == (not has_account)


def test_an_address_that_got_an_account_in_the_meantime_does_not_change_families(household, lead, client):
    lead.post(INVITE, NEW)
    other = create_household()
    taken = create_guardian(household=other, email="robin@example.org")

    answer = client.post(invitation_path(invited()))

    assert "This address already has an account" in words(answer)
    taken.refresh_from_db()
    assert taken.household == other
    assert invited().accepted_at is None
    assert not EmailPreference.objects.exists()


def test_a_withdrawn_or_old_invitation_opens_nothing_and_is_not_sent(household, lead, client, mail_server):
    lead.post(INVITE, NEW)
    withdrawn = invited()
    for _ in range(2):
        lead.post(f"/account/emails/invitations/{withdrawn.public_id}/withdraw/")
    drain()
    assert mail_server.messages() == []
    lead.post(INVITE, NEW)  # again, now that it does not wait any more
    old = invited()
    assert old != withdrawn

    with time_machine.travel(timezone.now() + timedelta(days=15), tick=True):
        for invitation in (withdrawn, old):
            for answer in (client.get(invitation_path(invitation)), client.post(invitation_path(invitation))):
                assert answer.status_code == 410
                assert "This invitation has ended" in words(answer)
    assert not User.objects.filter(email="robin@example.org").exists()


@pytest.mark.parametrize("how", ["shut out", "in another family"])
def test_who_does_not_belong_to_the_family_any_more_lets_nobody_in(household, lead, client, mail_server, how):
    lead.post(INVITE, NEW)
    elsewhere = create_household()
    gone = {"is_active": False} if how == "shut out" else {"household": elsewhere}
    create_guardian(household=household)
    household.guardians.filter(pk=invited().invited_by_id).update(**gone)

    drain()
    answers = [client.get(invitation_path(invited())), client.post(invitation_path(invited()))]

    assert mail_server.messages() == []
    assert [answer.status_code for answer in answers] == [410, 410]
    assert not User.objects.filter(email="robin@example.org").exists()


def test_five_invitations_a_day_and_one_at_a_time_for_an_address(household, lead):
    lead.post(INVITE, NEW)
    assert "has not been answered yet" in words(lead.post(INVITE, NEW))
    for number in range(4):
        lead.post(INVITE, NEW | {"email": f"robin{number}@example.org"})

    refused = lead.post(INVITE, NEW | {"email": "one.more@example.org"})

    assert "You can send 5 invitations a day." in words(refused)
    assert GuardianInvitation.objects.count() == 5
    GuardianInvitation.objects.update(created_at=timezone.now() - timedelta(hours=25))
    lead.post(INVITE, NEW | {"email": "one.more@example.org"})
    assert GuardianInvitation.objects.count() == 6


def test_a_guardian_who_switched_copies_off_is_not_switched_on_by_the_old_link(household, lead, client):
    lead.post(INVITE, NEW)
    path = invitation_path(invited())
    client.post(path)
    user = User.objects.get(email="robin@example.org")
    choose(user, COPIES, is_on=False, origin="page")

    client.post(path)

    assert not choices_of(user)[COPIES]


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("is_locked", [True, False])
def test_pressed_twice_at_once_makes_one_guardian_who_is_welcome(monkeypatch, is_locked):
    household = create_household()
    invitation = GuardianInvitation.objects.create(
        household=household,
        invited_by=household.guardians.get(),
        email="robin@example.org",
        first_name="Robin",
        last_name="Garcia",
    )
    both_looked = Meeting()
    is_open = GuardianInvitation.is_open

    def look_and_wait(row, now):
        both_looked.wait()
        return is_open(row, now)

    monkeypatch.setattr(GuardianInvitation, "is_open", look_and_wait)
    if not is_locked:
        monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows)

    def press(_):
        try:
            join_family(invitation=invitation, now=timezone.now())
        except AddressTaken:
            return "turned away"
        finally:
            connection.close()
        return "in"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(press, range(2)))

    assert answers == (["in", "in"] if is_locked else ["in", "turned away"])
    assert User.objects.filter(email="robin@example.org").count() == 1
    assert EmailPreference.objects.count() == 1
