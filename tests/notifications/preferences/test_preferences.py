"""What people choose about their emails, on which ways, and that the drain obeys it."""

import re
from html import unescape

import pytest
from django.conf import settings
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from enrollments.models import User
from notifications.facts import links
from notifications.facts.links import preferences_path, unsubscribe_path
from notifications.models import EmailMessage, EmailPreference, Suppression
from notifications.preferences.rules import (
    ALWAYS_SENT,
    CHOICES,
    COPIES,
    NotAChoice,
    choices_of,
    choose,
    footer_links,
    provider_resubscribed,
    provider_unsubscribed,
    unwanted,
)
from notifications.registry import EMAILS
from notifications.rendering.render import render
from notifications.sending.compose import outgoing
from notifications.sending.drain import drain
from tests.factories import create_guardian, create_household, create_staff
from tests.notifications.mails import SAMPLES
from tests.pages import words

pytestmark = pytest.mark.django_db

ESSENTIAL = [kind for kind in EMAILS if EMAILS[kind].group == "essential"]
CHOSEN = [kind for kind in EMAILS if EMAILS[kind].group != "essential"]
PROMOTIONAL = [kind for kind in CHOSEN if EMAILS[kind].group == "promotional"]
CONFIRM = SAMPLES["account_confirm_email"]["typical"]
ADDRESSES = re.compile(r"[\w.+-]+@[\w.-]+\w")


@pytest.fixture
def parent():
    return create_household().guardians.get()


def owe(kind, user, **fields):
    number = EmailMessage.objects.count()
    return EmailMessage.objects.create(
        **{
            "kind": kind,
            "recipient": user,
            "to": user.email,
            "fact_id": number,
            "dedupe_key": f"{kind}:{number}",
            "context": SAMPLES[kind]["typical"],
        }
        | fields
    )


def turn_off(user, *choices):
    EmailPreference.objects.bulk_create(
        EmailPreference(user=user, choice=choice, is_on=False, origin="page") for choice in choices
    )


# --- What the drain asks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ESSENTIAL)
def test_an_essential_email_looks_at_no_choice(parent, kind, django_assert_num_queries):
    turn_off(parent, kind, *CHOICES)
    row = owe(kind, parent)

    with django_assert_num_queries(0):
        assert unwanted([row]) == {}
    with pytest.raises(NotAChoice):
        choose(parent, kind, is_on=False, origin="staff")
    assert "List-Unsubscribe" not in outgoing(row).extra_headers


@pytest.mark.parametrize("kind", CHOSEN)
def test_every_other_email_obeys_also_when_it_is_queued_already(parent, kind):
    other = create_household().guardians.get()
    rows = [owe(kind, parent), owe(kind, other)]
    for user in (parent, other):
        choose(user, kind, is_on=True, origin="page")
    assert unwanted(rows) == {}

    choose(parent, kind, is_on=False, origin="one_click")

    [(pk, reason)] = unwanted(rows).items()
    assert pk == rows[0].pk
    assert reason.startswith("turned off by the unsubscribe button of an email app on ")
    assert unwanted([owe(kind, parent, is_test=True)]) == {}


def test_service_is_on_and_promotion_off_until_somebody_asks(parent):
    rows = {kind: owe(kind, parent) for kind in CHOSEN}

    assert set(unwanted(rows.values())) == {rows[kind].pk for kind in PROMOTIONAL}
    assert PROMOTIONAL
    assert set(unwanted([owe(kind, parent, recipient=None) for kind in PROMOTIONAL]).values()) == {
        "never asked for"
    }


def test_a_batch_costs_one_query(django_assert_num_queries):
    users = [create_household().guardians.get() for _ in range(5)]
    rows = [owe(kind, user) for user in users for kind in CHOSEN]

    with django_assert_num_queries(1):
        unwanted(rows)


def test_the_drain_sends_what_is_essential_and_nothing_that_was_switched_off(
    parent, mail_server, monkeypatch
):
    for spec in EMAILS.values():
        monkeypatch.setitem(spec.__dict__, "still_true", set)  # these tell of no facts
    turn_off(parent, *CHOSEN)
    rows = [owe(kind, parent) for kind in [*CHOSEN, "credit_added"]]

    drain()

    assert [message["kind"] for message in mail_server.messages()] == ["credit_added"]
    states = dict(EmailMessage.objects.values_list("kind", "status"))
    assert states == dict.fromkeys(CHOSEN, "suppressed") | {"credit_added": "sent"}
    assert len(rows) == len(states)


def test_every_kind_is_either_explained_or_offered_in_words():
    listed = [title for group in ALWAYS_SENT for title in group.titles]
    always = set(ESSENTIAL) - {"staff_alert", "staff_invitation"}

    assert sorted(listed) == sorted(str(EMAILS[kind].title) for kind in always)
    assert set(CHOICES) == {*CHOSEN, COPIES}


# --- Changing a choice --------------------------------------------------------------------------------------


def test_a_choice_keeps_who_made_it_and_when(parent):
    assert choose(parent, "installment_reminder", is_on=False, origin="one_click")
    first = parent.email_preferences.get()
    assert not choose(parent, "installment_reminder", is_on=False, origin="page")

    again = parent.email_preferences.get()
    assert (again.is_on, again.origin, again.changed_at) == (False, "one_click", first.changed_at)
    assert choose(parent, "installment_reminder", is_on=True, origin="page")
    again.refresh_from_db()
    assert (again.is_on, again.origin) == (True, "page")
    assert again.changed_at > first.changed_at


def test_what_the_provider_switched_off_it_switches_on_again_and_no_more(parent):
    turn_off(parent, "waitlist_joined")
    choose(parent, COPIES, is_on=True, origin="page")
    before = choices_of(parent)

    provider_unsubscribed(parent)
    assert [name for name, is_on in choices_of(parent).items() if is_on] == [COPIES]

    provider_resubscribed(parent)
    assert choices_of(parent) == before


# --- The links ----------------------------------------------------------------------------------------------


def test_every_email_leads_to_the_choices_and_those_that_can_be_switched_off_also_out(parent):
    for kind in [*ESSENTIAL, *CHOSEN]:
        if EMAILS[kind].is_sensitive:
            continue
        row = owe(kind, parent)
        row.subject, row.html, row.text = "x", "x", "x"
        links = footer_links(row)
        told = render(kind, row.facts | links)
        assert set(links) == {"preferences_path"} | ({"unsubscribe_path"} if kind in CHOSEN else set())
        for path in links.values():
            assert f"\n{settings.SITE_URL}{path}\n" in told.text
            assert f'href="{settings.SITE_URL}{path}"' in told.html
        headers = outgoing(row).extra_headers
        if kind in CHOSEN:
            assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            by_web, by_mail = headers["List-Unsubscribe"].split(", ")
            assert by_web == f"<{settings.SITE_URL}{unsubscribe_path(parent, kind)}>"
            assert by_mail.startswith(f"<mailto:{settings.SCHOOL_EMAIL}?subject=Unsubscribe%3A%20")


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": None},
        {"to": "old@example.org"},
        {"kind": "account_confirm_email", "context": CONFIRM},
    ],
    ids=["no account", "another address", "not confirmed"],
)
def test_nobody_else_gets_the_link(parent, fields):
    row = owe(user=parent, **{"kind": "account_notice"} | fields)

    assert footer_links(row) == {}
    assert "/emails/" not in render(row.kind, row.facts).text


def test_the_page_by_link_saves_and_says_so_without_a_login(client, parent):
    User.objects.filter(pk=parent.pk).update(first_name="Pat", last_name="Canary", email="pat@example.org")
    path = preferences_path(parent)

    page = client.get(path)
    data = {name: "on" for name in CHOICES if name != COPIES} | {"newsletter": "on"}
    del data["installment_reminder"]
    for _ in range(2):
        answer = client.post(path, data, follow=True)
        assert "Your choices are saved." in words(answer)

    for shown in (page, answer):
        assert shown.status_code == 200
        assert ADDRESSES.findall(unescape(shown.text)) == [settings.SCHOOL_EMAIL] * 2
        assert "p…@example.org" in shown.text
        assert "Canary" not in shown.text
        assert shown.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert shown.headers["Referrer-Policy"] == "same-origin"
        assert "no-store" in shown.headers["Cache-Control"]
    made = dict(parent.email_preferences.values_list("choice", "is_on"))
    assert made == {"installment_reminder": False, "newsletter": True}
    assert set(parent.email_preferences.values_list("origin", flat=True)) == {"page"}
    assert "Always sent" in words(page)
    assert COPIES not in page.context["form"].fields  # they are the first guardian


@pytest.mark.parametrize("answers", [Client(), Client(enforce_csrf_checks=True)], ids=["plain", "strict"])
def test_one_click_needs_no_cookie_no_login_and_no_token(parent, answers):
    path = unsubscribe_path(parent, "installment_reminder")
    asked = answers.get(path)
    assert asked.status_code == 200
    assert "Stop these emails" in asked.text
    assert not EmailPreference.objects.exists()
    answers.cookies.clear()

    for _ in range(2):
        done = answers.post(path, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded")
        assert done.status_code == 200
        assert "Payment reminders” is turned off" in words(done)

    preference = EmailPreference.objects.get()
    assert (preference.user, preference.choice, preference.is_on) == (parent, "installment_reminder", False)
    assert preference.origin == "one_click"


def test_a_multipart_post_counts_and_the_button_of_the_page_is_told_apart(client, parent):
    client.post(unsubscribe_path(parent, "waitlist_joined"), {"List-Unsubscribe": "One-Click"})
    client.post(unsubscribe_path(parent, "class_message"))

    made = dict(EmailPreference.objects.values_list("choice", "origin"))
    assert made == {"waitlist_joined": "one_click", "class_message": "page"}


def signed(salt, value):
    return signing.Signer(salt=f"csf.notifications.{salt}").sign_object(value)


def test_broken_links_get_a_clear_page(client, parent):
    preferences, one_click = preferences_path(parent), unsubscribe_path(parent, "newsletter")
    gone = create_guardian(household=parent.household)
    dead = [preferences_path(gone), unsubscribe_path(gone, "newsletter")]
    gone.emailaddress_set.all().delete()
    gone.delete()
    broken = [
        *dead,
        preferences[:-3] + "/",
        one_click[:-3] + "/",
        preferences.replace("/emails/", "/unsubscribe/"),
        one_click.replace("/unsubscribe/", "/emails/"),
        "/unsubscribe/" + signed("unsubscribe", ["payment_success", str(parent.public_id)]) + "/",
        "/unsubscribe/" + signed("unsubscribe", ["no_such_kind", str(parent.public_id)]) + "/",
        *(
            f"/{page}/{token}/"
            for page in ("emails", "unsubscribe", "invitation")
            for token in ("x", ":", ".", "%00", "%ff%fe", "é:é", "a:b:c", "=" * 3000, "..:..", "%F0%9F%91%A9")
        ),
    ]
    before = EmailPreference.objects.count()

    for url in broken:
        for method in (client.get, client.post, client.head):
            answer = method(url)
            assert answer.status_code == 404, url
            if method != client.head:
                assert "This link does not work" in answer.text, url
    assert client.put(one_click).status_code == 405
    torn = client.post(one_click, b"--x\r\nContent-Disposition: broken", content_type="multipart/form-data")
    assert torn.status_code == 400
    assert EmailPreference.objects.count() == before


def test_links_of_the_key_before_still_work(client, parent, settings):
    path = preferences_path(parent)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    links._signer.cache_clear()
    try:
        assert client.get(path).status_code == 200
    finally:
        links._signer.cache_clear()


# --- Signed in ----------------------------------------------------------------------------------------------


def test_the_page_of_the_account_lists_the_own_emails_and_tells_no_secret(client, parent):
    client.force_login(parent)
    stranger = create_household().guardians.get()
    owe("credit_added", stranger, subject="Zanzibar", status="sent")
    owe("account_login_code", parent, subject="Your code is 493811", status="sent", context={})
    owe("credit_added", parent, subject="Our test", status="sent", is_test=True)
    states = ["queued", "sending", "sent", "delivered", "bounced", "dropped", "complained", "unknown"]
    not_sent = ["failed", "expired", "suppressed", "withheld"]
    for status in [*states, *not_sent]:
        owe("payment_success", parent, subject=f"Mail <b> {status}", status=status)

    page = client.get("/account/emails/")

    text = words(page)
    assert page.status_code == 200
    for status in states:
        assert f"Mail <b> {status}" in text
    for status in not_sent:  # "Payment failed" would only confuse who paid
        assert f"Mail <b> {status}" not in text
    assert "<b> sent" not in page.text
    assert "Sign-in code" in text
    for hidden in ("493811", "Zanzibar", "Our test"):
        assert hidden not in page.text


def test_a_parent_opens_what_was_sent_to_them_and_nothing_else(client, parent):
    other = create_guardian(household=parent.household)
    told = {"subject": "You paid", "text": "Hi Pat,\n\n<b>thanks</b>: https://example.org/account/"}
    sent = owe("payment_success", parent, status="delivered", **told)
    hidden = [
        owe("payment_success", parent, status="expired", **told),
        owe("payment_success", parent, status="sent", **told | {"text": ""}),
        owe("payment_success", parent, status="sent", is_test=True, **told),
        owe("payment_success", other, status="sent", **told),
        owe("account_login_code", parent, status="sent", **told | {"context": {}}),
    ]
    url = f"/account/emails/{sent.public_id}/"
    assert client.get(url).status_code == 302

    client.force_login(parent)
    assert url in client.get("/account/emails/").text
    page = client.get(url)
    assert "&lt;b&gt;thanks&lt;/b&gt;" in page.text
    assert 'href="https://example.org/account/"' in page.text
    assert page.headers["Cache-Control"].count("no-store")
    for row in hidden:
        assert client.get(f"/account/emails/{row.public_id}/").status_code == 404


def test_the_page_needs_as_many_queries_for_many_emails(client, parent):
    client.force_login(parent)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/account/emails/").status_code == 200
        return len(captured)

    owe("credit_added", parent)
    few = queries()
    for _ in range(30):
        owe("credit_added", parent)
        create_guardian(household=parent.household)

    assert queries() == few
    page = client.get("/account/emails/")
    assert len(page.context["emails"]) == 20


def test_who_called_an_email_spam_is_told_that_a_tick_changes_nothing(client, parent):
    client.force_login(parent)
    assert "marked as spam" not in words(client.get("/account/emails/"))
    Suppression.objects.create(address=parent.email, scope="non_essential", cause="complained")

    for url in ("/account/emails/", preferences_path(parent)):
        assert "One of our emails was marked as spam" in words(client.get(url))


def test_the_form_of_the_account_saves(client, parent):
    client.force_login(parent)

    answer = client.post("/account/emails/", {"newsletter": "on"}, follow=True)

    assert "Your choices are saved." in words(answer)
    assert [name for name, is_on in choices_of(parent).items() if is_on] == ["newsletter"]


def test_staff_without_a_family_have_no_such_page(client):
    client.force_login(create_staff())

    assert client.get("/account/emails/").status_code == 404
