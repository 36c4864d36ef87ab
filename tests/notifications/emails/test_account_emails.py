"""Account emails go through the outbox, and what opens an account is nowhere once it was sent."""

import logging
import os
from datetime import timedelta
from pathlib import Path

import allauth
import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django_q.conf import Conf
from django_q.models import OrmQ

from csf.clock import Now
from csf.jobs.queue import enqueue
from csf.models import StaffTask
from notifications import accounts, tasks
from notifications.accounts import NOTICES, AccountAdapter
from notifications.models import EmailMessage
from notifications.registry import EMAILS
from notifications.rendering.render import render
from notifications.sending.drain import LOCK_CLASS, drain
from notifications.sending.results import forget_secrets, recover_lost, resolve_unknown
from tests.factories import create_guardian, create_household
from tests.notifications.mails import SAMPLES
from tests.notifications.outbox_rows import owe

CODE = "QZXCANARY"
LOGIN_CODE = "/account/login/code/"
TABLES = ["notifications_emailmessage", "notifications_emailattempt", "csf_stafftask"] + [
    f"django_q_{name}" for name in ("ormq", "task", "schedule")
]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _known_code(monkeypatch):
    cache.clear()
    monkeypatch.setattr("allauth.account.adapter.generate_user_code", lambda **kwargs: CODE)


@pytest.fixture
def parent():
    return create_guardian(household=create_household(), first_name="Maria")


def ask_for_code(email):
    Client().post(LOGIN_CODE, {"email": email})
    return EmailMessage.objects.latest("pk")


def found_in_database(text):
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE %s", [f"%{text}%"])
            if cursor.fetchone()[0]:
                yield table


def test_a_login_code_is_sent_and_kept_nowhere(client, mail_server, parent, caplog):
    caplog.set_level(logging.DEBUG)
    client.post(LOGIN_CODE, {"email": parent.email})
    assert list(found_in_database(CODE)) == []  # neither while it waits

    drain()
    [mail] = mail_server.messages()
    row = EmailMessage.objects.get()

    assert CODE in mail["text"]
    assert CODE in mail["html"]
    assert CODE not in str([mail["subject"], mail["headers"], mail["custom_args"]])
    assert (row.status, row.secret, row.context, row.html, row.text) == ("sent", "", {}, "", "")
    assert (row.subject, row.recipient, row.priority) == ("Your code to sign in", parent, 0)
    assert list(found_in_database(CODE)) == []
    client.post("/account/login/code/confirm/", {"code": CODE})
    assert "_auth_user_id" in client.session
    assert CODE not in caplog.text


def test_a_code_waits_neither_for_a_newsletter_nor_for_busy_workers(
    mail_server, parent, django_capture_on_commit_callbacks
):
    owe(50)
    with django_capture_on_commit_callbacks(execute=True):
        ask_for_code(parent.email)
    queued = [(row.key, row.func()) for row in OrmQ.objects.order_by("key")]
    assert queued == [("csf", "notifications.tasks.drain"), ("urgent", "notifications.tasks.send_awaited")]

    with psycopg.connect(os.environ["DATABASE_URL"]) as others:
        for slot in range(settings.EMAIL_DRAINS):
            others.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, slot])
        tasks.drain()
        tasks.send_awaited()

    sent = EmailMessage.objects.filter(status="sent").values_list("kind", flat=True)
    assert (list(sent), EmailMessage.objects.filter(status="queued").count()) == (["account_login_code"], 50)


def test_whatever_a_worker_of_codes_asks_for_goes_to_the_others(monkeypatch):
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "urgent")  # as in its processes

    enqueue("notifications.tasks.drain")

    assert OrmQ.objects.get().key == "csf"


@pytest.mark.parametrize("kind", [kind for kind in EMAILS if EMAILS[kind].is_sensitive])
def test_no_subject_opens_an_account(kind):
    for context in SAMPLES[kind].values():
        subject = render(kind, context).subject

        assert not any(str(context[name]) in subject for name in ("code", "reset_path") if name in context)


def test_a_code_that_cannot_be_sent_is_forgotten(mail_server, parent):
    row = ask_for_code(parent.email)
    EmailMessage.objects.filter(pk=row.pk).update(to="status400@example.org")

    drain()

    row.refresh_from_db()
    assert (row.status, row.secret) == ("failed", "")


def test_a_code_is_sent_again_while_it_is_good_and_expires_with_it(mail_server, parent):
    row = ask_for_code(parent.email)
    EmailMessage.objects.filter(pk=row.pk).update(to="status503@example.org")
    drain()
    row.refresh_from_db()
    assert (row.status, row.facts["code"]) == ("queued", CODE)

    EmailMessage.objects.filter(pk=row.pk).update(
        next_attempt_at=Now(), expires_at=Now() - timedelta(seconds=1)
    )
    drain()

    row.refresh_from_db()
    assert (row.status, row.secret, len(mail_server.requests())) == ("expired", "", 1)


def test_a_code_whose_fate_is_unknown_is_nobodys_task(mail_server, parent):
    row = ask_for_code(parent.email)
    EmailMessage.objects.filter(pk=row.pk).update(to="cut@example.org")
    drain()
    EmailMessage.objects.filter(pk=row.pk).update(posting_at=Now() - timedelta(hours=1))

    recover_lost()
    resolve_unknown()

    row.refresh_from_db()
    assert (row.status, row.secret, StaffTask.objects.count()) == ("expired", "", 0)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"status": "sending"}, True),
        ({"status": "unknown"}, True),
        ({"status": "withheld"}, False),
        ({"status": "sent"}, False),
        ({"expires_at": Now() - timedelta(seconds=1)}, False),
    ],
)
def test_whatever_way_an_email_ends_its_secret_goes(parent, changes, kept):
    row = ask_for_code(parent.email)
    EmailMessage.objects.filter(pk=row.pk).update(**changes)

    forget_secrets()

    row.refresh_from_db()
    assert bool(row.sealed_secret) is kept


def test_the_sweep_forgets_secrets(parent):
    row = ask_for_code(parent.email)
    EmailMessage.objects.filter(pk=row.pk).update(status="sent")

    tasks.sweep_emails()

    row.refresh_from_db()
    assert row.secret == ""


def test_a_failure_to_render_tells_nobody_the_code(parent, monkeypatch, caplog):
    row = ask_for_code(parent.email)
    monkeypatch.setattr("notifications.sending.drain.render", broken)

    drain()

    row.refresh_from_db()
    assert (row.status, row.secret) == ("failed", "")
    assert list(found_in_database(CODE)) == []
    assert "cannot render" in caplog.text
    assert CODE not in caplog.text


def broken(kind, facts):
    raise KeyError("a template is broken")


def test_a_lost_key_fails_that_email_and_no_other(mail_server, parent, settings):
    lost = ask_for_code(parent.email)
    settings.FIELD_KEYS = ["next:" + "A" * 43 + "="]
    good = ask_for_code(parent.email)

    drain()

    for row, status in ((lost, "failed"), (good, "sent")):
        row.refresh_from_db()
        assert row.status == status


def test_a_code_overtakes_everything(parent):
    others = [
        EmailMessage(
            kind="enrollment_confirmation",
            recipient=parent,
            to=parent.email,
            fact_id=number,
            dedupe_key=str(number),
            context={},
            next_attempt_at=Now() - timedelta(hours=1),
        )
        for number in range(100)
    ]
    EmailMessage.objects.bulk_create(others)
    code = ask_for_code(parent.email)

    assert EmailMessage.objects.due()[0] == code


def test_an_address_without_account_is_written_to(client, mail_server):
    client.post(LOGIN_CODE, {"email": "nobody@example.org"})
    drain()
    [mail] = mail_server.messages()
    row = EmailMessage.objects.get()

    assert (mail["to"], mail["subject"]) == (["nobody@example.org"], "There is no account for this address")
    assert (row.status, row.recipient, row.to) == ("sent", None, "nobody@example.org")


def test_an_unproven_address_gets_no_name_that_somebody_typed(client, mail_server):
    spam = "WIN 1000 at evil.example"
    client.post(
        "/account/signup/",
        {
            "first_name": spam,
            "last_name": spam,
            "email": "victim@example.org",
            "password1": "correct-horse-7",
        },
    )
    drain()
    [mail] = mail_server.messages()

    assert "evil.example" not in str(
        [mail["subject"], mail["text"], mail["html"], mail["headers"], mail["to"]]
    )


def test_the_reset_link_is_on_our_site_whatever_host_asked(mail_server, parent, settings):
    assert (
        Client()
        .post("/account/password/reset/", {"email": parent.email}, headers={"host": "evil.example"})
        .status_code
        == 400
    )
    Client().post("/account/password/reset/", {"email": parent.email}, headers={"host": "localhost"})
    drain()
    [mail] = mail_server.messages()

    assert f"{settings.SITE_URL}/account/password/reset/key/" in mail["text"]
    assert "localhost" not in mail["text"]


def test_each_notice_has_words_of_its_own():
    context = SAMPLES["account_notice"]["typical"] | {"new_email": "new@example.org"}
    mails = [render("account_notice", context | {"event": event}) for event in {*NOTICES.values(), "other"}]

    assert len({mail.subject for mail in mails}) == len({mail.text for mail in mails}) == len(mails)
    for mail in mails:
        assert max(len(line) for line in mail.text.splitlines() if not line.startswith("http")) <= 72
        assert all(word in mail.text for word in ("Hi Maria", "Not you?"))


def test_every_email_of_allauth_is_known_here():
    """An update that brings another one has to be noticed: it would go out as a plain notice."""
    templates = Path(allauth.__file__).parent / "templates"
    prefixes = {
        str(path.relative_to(templates)).removesuffix("_subject.txt")
        for app in ("account", "mfa")
        for path in (templates / app / "email").glob("*_subject.txt")
    }
    told = {"email_confirmation", "email_confirmation_signup", "login_code", "password_reset_key"}
    switched_off = {
        "account/email/email_confirm",  # only by ACCOUNT_CHANGE_EMAIL off
        "account/email/email_deleted",
        "account/email/password_reset_code",
        "mfa/email/webauthn_added",
        "mfa/email/webauthn_removed",
    }

    assert prefixes == {f"account/email/{name}" for name in told} | set(NOTICES) | switched_off


def test_an_email_we_have_no_words_for_becomes_a_notice_and_a_task(parent, rf):
    AccountAdapter(rf.get("/")).send_mail(
        "account/email/brand_new", parent.email, {"user": parent, "request": object()}
    )

    row = EmailMessage.objects.get()
    assert (row.kind, row.recipient, row.facts["event"]) == ("account_notice", parent, accounts.OTHER)
    [task] = StaffTask.objects.all()
    assert (task.subject, "brand_new" in task.detail) == (f"notifications.emailmessage:{row.pk}", True)
