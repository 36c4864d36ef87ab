"""The second route: when it is taken, by what, and how each way of ending a post there counts."""

from collections import Counter
from datetime import timedelta

import pytest

from csf.clock import Now
from csf.models import StaffTask
from notifications.alerts.rules import symptoms
from notifications.checks import second_route
from notifications.models import DrainSignal, EmailAttempt, EmailMessage
from notifications.sending import drain as drain_module
from notifications.sending import failover
from notifications.sending.drain import drain
from notifications.sending.results import resolve_unknown
from notifications.sending.transport import Outcome, post
from tests.notifications.outbox_rows import lose_leases, make_due, owe, posted, states, tasks_for_staff
from tests.notifications.sending.smtp_server import smtp_server
from tests.notifications.sending.socket_server import a_mail, answer, answering, server

SENT, NOT_SENT, REFUSED, UNKNOWN = Outcome.SENT, Outcome.NOT_SENT, Outcome.REFUSED, Outcome.UNKNOWN
SECOND = timedelta(seconds=1)


@pytest.fixture
def second(settings):
    """A mail server as the second route."""
    with smtp_server() as server:
        settings.EMAIL_FAILOVER = f"smtp://127.0.0.1:{server.port}"
        yield server


def down_for(seconds, *, closed_s=60):
    """The first route has taken nothing for so long."""
    DrainSignal.objects.update(
        down_since=Now() - seconds * SECOND, closed_until=Now() + closed_s * SECOND, unanswered=10
    )


def routes():
    return Counter(EmailAttempt.objects.values_list("route", "outcome"))


# --- Another provider ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(200, '{"id": "<20@mg>", "message": "Queued"}'), SENT),
        (answer(401), NOT_SENT),
        (answer(403), NOT_SENT),
        (answer(429), NOT_SENT),
        (answer(503), NOT_SENT),
        (answer(400, "bad"), REFUSED),
        (answer(408), UNKNOWN),
        (answer(500), UNKNOWN),
        (answer(504), UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_each_answer_of_another_provider(settings, said, outcome):
    with server(answering(said)) as (url, seen):
        settings.EMAIL_FAILOVER = (
            f"anymail.backends.mailgun.EmailBackend?api_key=k&sender_domain=example.org&api_url={url}/v3"
        )
        backend = failover.backend()
        result = post(a_mail(), backend)
        backend.close()
    again = post(a_mail(), backend)  # nobody listens any more
    backend.close()

    assert (result.outcome, len(seen), again.outcome) == (outcome, 1, NOT_SENT)


def test_a_second_account_at_sendgrid_is_posted_to_as_the_first(settings, mail_server):
    settings.EMAIL_FAILOVER = (
        f"notifications.sending.transport.SendGridBackend?api_key=SG.other&api_url={mail_server.url}/v3/"
    )
    backend = failover.backend()
    result = post(a_mail(), backend)
    backend.close()

    assert result.outcome == SENT
    assert result.provider_id


# --- When it is taken ---------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seconds", "configured", "route"),
    [
        (60, True, None),
        (119, True, None),
        (121, True, "failover"),
        (4000, True, "failover"),
        (4000, False, None),
    ],
)
def test_essential_emails_take_it_after_two_minutes(
    mail_server, second, settings, seconds, configured, route
):
    settings.EMAIL_FAILOVER = settings.EMAIL_FAILOVER if configured else ""
    owe(9)
    owe(1, kind="installment_reminder", fact_id=-1, is_test=True)
    down_for(seconds)

    drain()

    if route is None:
        assert (Counter(states()), routes()) == ({("queued", 0): 10}, {})
        return
    assert Counter(states()) == {("sent", 1): 9, ("queued", 0): 1}
    assert routes() == {("failover", "sent"): 9}
    assert mail_server.requests() == []
    rows = {row.to: row for row in EmailMessage.objects.filter(status="sent")}
    assert {mail["To"].addresses[0].addr_spec for mail in second.taken} == rows.keys()
    for mail in second.taken:
        row = rows[mail["To"].addresses[0].addr_spec]
        assert (mail["Subject"], mail["Message-ID"].strip()[1:].split("@")[0]) == (
            row.subject,
            f"{row.kind}.{row.public_id}",
        )
        assert mail.get_body(("plain",)).get_content().split() == row.text.split()
        assert mail.get_body(("html",)).get_content().split() == row.html.split()
    assert second.connections <= failover.THREADS


@pytest.mark.django_db
def test_what_the_first_provider_may_have_never_takes_it(mail_server, second):
    in_doubt, fresh = owe(2)
    EmailAttempt.objects.create(message=in_doubt, outcome="unknown")
    down_for(300)

    drain()

    assert states("status") == [("queued",), ("sent",)]
    assert [mail["To"].addresses[0].addr_spec for mail in second.taken] == [fresh.to]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("switch", "on", "off"),
    [
        ("key_revoked", True, False),
        ("suspended", True, False),
        ("share_503", 1.0, 0.0),
        ("share_429", 1.0, 0.0),
    ],
)
def test_an_outage_of_an_hour_fails_nothing_and_holds_up_no_essential_email(
    mail_server, second, switch, on, off
):
    """Each round is a minute."""
    mail_server.control(**{"rate_reset_seconds": 30, switch: on})
    sent = []
    for minute in range(10):
        owe(2, local="hourly")
        DrainSignal.objects.update(closed_until=None)
        if minute == 3:
            DrainSignal.objects.update(down_since=Now() - 200 * SECOND)
        drain()
        sent.append(EmailMessage.objects.filter(status="sent").count())
        EmailMessage.objects.filter(status="queued").update(next_attempt_at=Now() - SECOND)

    assert sent[:3] == [0, 0, 0]
    assert sent[4:] == [2 * (minute + 1) for minute in range(4, 10)]
    assert Counter(states("status")) == {("sent",): 20}
    assert sorted(Counter(m["To"].addresses[0].addr_spec for m in second.taken).values()) == [1] * 20
    assert "email_failed" not in tasks_for_staff()

    mail_server.control(**{switch: off})
    DrainSignal.objects.update(closed_until=None)
    owe(3, local="after")
    drain()
    assert (DrainSignal.objects.get().down_since, DrainSignal.gate()[1]) == (None, False)
    assert Counter(states("status")) == {("sent",): 23}
    assert len(posted(mail_server)) == 3


@pytest.mark.django_db
def test_one_email_alone_in_an_outage_takes_it_before_its_tries_are_spent(mail_server, second):
    owe(1, local="status503")
    drain()
    assert states() == [("queued", 1)]
    DrainSignal.objects.update(down_since=Now() - 180 * SECOND)
    make_due()

    drain()

    assert states("status") == [("sent",)]
    assert routes() == {("main", "not_sent"): 2, ("failover", "sent"): 1}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "says", [{"CONNECT": b"421 closed"}, {"MAIL": b"550 not you"}, {"TEXT": b"451 later"}]
)
def test_a_second_route_that_is_down_as_well_is_asked_once_a_drain_and_fails_nothing(
    mail_server, second, says
):
    second.says |= says
    owe(30)
    for _ in range(5):
        down_for(300)
        drain()
        EmailMessage.objects.filter(status="queued").update(next_attempt_at=Now() - SECOND)

    assert states() == [("queued", 0)] * 30
    assert routes() == {("failover", "not_sent"): 5}
    assert tasks_for_staff() == {}


@pytest.mark.django_db
def test_what_the_second_route_refuses_is_left_to_the_first(mail_server, second):
    second.says["RCPT"] = b"554 relay access denied"
    owe(12)
    for _ in range(2):
        down_for(300)
        drain()
        EmailMessage.objects.filter(status="queued").update(next_attempt_at=Now() - SECOND)
    assert states() == [("queued", 0)] * 12
    assert routes() == {("failover", "refused"): 12}  # each was asked once

    DrainSignal.objects.update(closed_until=None)
    drain()
    assert states("status") == [("sent",)] * 12
    assert len(posted(mail_server)) == 12


@pytest.mark.django_db
def test_a_post_of_the_second_route_without_an_answer_is_unknown_and_ends_it_for_now(
    mail_server, second, settings
):
    second.says["TEXT"] = b""
    owe(5)
    down_for(300)

    drain()

    assert Counter(states("status")) == {("unknown",): 1, ("queued",): 4}
    assert routes() == {("failover", "unknown"): 1}
    settings.EMAIL_UNKNOWN_WAIT_S = 0
    resolve_unknown()
    assert Counter(states("status")) == {("queued",): 5}  # a copy of this kind is harmless
    second.says["TEXT"] = b"250 ok"
    drain()
    assert Counter(states("status")) == {("sent",): 4, ("queued",): 1}


@pytest.mark.django_db
def test_a_gate_that_opens_ends_the_second_route(mail_server, second, monkeypatch):
    owe(40)
    down_for(300)
    claim = drain_module._claim_for_failover

    def then_open(limit):
        DrainSignal.objects.update(closed_until=None)
        return claim(limit)

    monkeypatch.setattr(drain_module, "_claim_for_failover", then_open)
    drain()

    assert states("status") == [("sent",)] * 40
    assert routes() == {("failover", "sent"): 1, ("main", "sent"): 39}


def test_a_drain_that_is_lost_in_a_post_of_the_second_route_leaves_it_unknown(
    committed_db, second, monkeypatch
):
    owe(1)
    down_for(300)
    monkeypatch.setattr(drain_module, "settle", lambda results: None)

    drain()
    lose_leases()

    assert states("status") == [("unknown",)]
    assert routes() == {("failover", "unknown"): 1}


@pytest.mark.django_db
def test_silence_about_emails_of_the_second_route_alarms_nobody():
    [row] = owe(1, status="sent")
    EmailAttempt.objects.create(message=row, outcome="sent", route="failover")
    EmailAttempt.objects.update(posted_at=Now() - timedelta(hours=3))

    assert not [sign for sign in symptoms() if sign.name == "email_events_silent"]

    EmailAttempt.objects.update(route="main")
    assert [sign for sign in symptoms() if sign.name == "email_events_silent"]


@pytest.mark.django_db
def test_staff_are_told_when_the_second_route_is_in_use_and_when_it_takes_nothing(settings):
    settings.EMAIL_FAILOVER = "smtp://127.0.0.1"
    rows = owe(3, status="sent")
    down_for(300)

    def told():
        return {sign.name: sign.level for sign in symptoms() if sign.name.startswith("second_route")}

    assert told() == {}
    for row in rows:
        EmailAttempt.objects.create(message=row, outcome="sent", route="failover")
    assert told() == {"second_route_used": "warning"}
    EmailAttempt.objects.create(message=rows[0], outcome="not_sent", route="failover")
    assert told() == {"second_route_used": "warning", "second_route_down": "page"}
    DrainSignal.answered()
    assert told() == {}


# --- The setting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", None),
        ("smtp+tls://user:pw@smtp.example.org:587", None),
        ("smtp+ssl://smtp.example.org", None),
        ("smtp://127.0.0.1:2525", None),
        ("anymail.backends.mailgun.EmailBackend?api_key=k&sender_domain=example.org", None),
        ("notifications.sending.transport.SendGridBackend?api_key=SG.other", None),
        ("smtp://user:hunter2@smtp.example.org", "unencrypted"),
        ("smtp+tls://user:hunter2@", "write a server as"),
        ("smtp+tls://user:hunter2@host:port", "write a server as"),
        ("imap://user:hunter2@smtp.example.org", "write a server as"),
        ("anymail.backends.nothing.EmailBackend", "neither"),
        ("hunter2", "neither"),
        ("django.core.mail.backends.console.EmailBackend", "not an anymail backend"),
        ("notifications.sending.failover.is_on", "not an anymail backend"),
        ("anymail.backends.mailgun.EmailBackend", "is not configured"),
    ],
)
def test_a_second_route_that_cannot_work_is_refused_at_the_start(settings, value, problem):
    settings.EMAIL_FAILOVER = value

    found = list(second_route())

    assert [message.id for message in found] == (["csf.E016"] if problem else [])
    if problem:
        assert problem in found[0].msg
        assert "hunter2" not in found[0].msg


@pytest.mark.django_db
def test_an_account_that_is_suspended_closes_the_gate(mail_server):
    DrainSignal.break_off()

    closed_s, is_down = DrainSignal.gate()
    assert 60 <= closed_s <= 66
    assert is_down
    assert StaffTask.objects.count() == 0
