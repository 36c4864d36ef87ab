"""Each way that a mail server can answer, as the second route."""

import socket
import threading

import pytest

from notifications.sending import smtp
from notifications.sending.smtp import SmtpBackend
from notifications.sending.transport import Outcome, post
from tests.notifications.sending.smtp_server import smtp_server
from tests.notifications.sending.socket_server import a_mail
from tests.waiting import PATIENCE_S, wait_until

SENT, NOT_SENT, REFUSED, UNKNOWN = Outcome.SENT, Outcome.NOT_SENT, Outcome.REFUSED, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("says", "outcome", "is_taken"),
    [
        ({}, SENT, True),
        ({"CONNECT": b"554 go away"}, NOT_SENT, False),
        ({"CONNECT": b""}, NOT_SENT, False),
        ({"EHLO": b"", "HELO": b""}, NOT_SENT, False),
        ({"MAIL": b"550 you may not send from there"}, NOT_SENT, False),
        ({"MAIL": b"421 too many"}, NOT_SENT, False),
        ({"RCPT": b"450 later"}, NOT_SENT, False),
        ({"RCPT": b"550 no such user"}, REFUSED, False),
        ({"RCPT": b""}, NOT_SENT, False),
        ({"RCPT": None}, NOT_SENT, False),
        ({"DATA": b"451 no room"}, NOT_SENT, False),
        ({"DATA": b""}, NOT_SENT, False),
        ({"TEXT": b"451 later"}, NOT_SENT, False),
        ({"TEXT": b"554 that looks like spam"}, REFUSED, False),
        ({"TEXT": b""}, UNKNOWN, True),
        ({"TEXT": None}, UNKNOWN, False),
        ({"TEXT": b"2"}, UNKNOWN, True),
    ],
)
def test_each_way_that_a_mail_server_can_answer(monkeypatch, says, outcome, is_taken):
    if None in says.values():  # it would wait for long
        monkeypatch.setattr(smtp, "TIMEOUT_S", 2)
    with smtp_server(**says) as server:
        backend = SmtpBackend(f"smtp://127.0.0.1:{server.port}")
        result = post(a_mail(), backend)
        backend.close()

    assert (result.outcome, bool(server.taken)) == (outcome, is_taken)
    assert result.error or outcome == SENT


def test_no_server_no_name_and_one_that_never_answers_are_not_sent(monkeypatch):
    monkeypatch.setattr(smtp, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_port = silent.getsockname()[1]
        closed = post(a_mail(), SmtpBackend(f"smtp://127.0.0.1:{silent_port}"))
    refused = post(a_mail(), SmtpBackend(f"smtp://127.0.0.1:{silent_port}"))
    unknown_name = post(a_mail(), SmtpBackend("smtp+tls://nowhere.invalid"))

    assert {result.outcome for result in (closed, refused, unknown_name)} == {NOT_SENT}


def test_an_email_arrives_as_it_was_written_on_one_kept_connection():
    body = ".a line with a dot\n..two\nend — «Ümlaut»"
    with smtp_server() as server:
        backend = SmtpBackend(f"smtp://127.0.0.1:{server.port}")
        results = [post(a_mail('"O\'Neil, Jr." <pat@example.org>', body=body), backend) for _ in range(3)]
        backend.close()

    assert {result.outcome for result in results} == {SENT}
    assert results[0].provider_id == "250 2.0.0 queued as 4F2B"
    assert server.connections == 1
    assert [mail.get_body(("plain",)).get_content().splitlines() for mail in server.taken] == [
        body.splitlines()
    ] * 3
    assert "rcpt TO:<pat@example.org>" in server.commands


@pytest.mark.parametrize(
    "changes", [{"to": "jos\u00e9@example.org"}, {"subject": "Hi\nBcc: all@example.org"}]
)
def test_what_is_wrong_with_one_email_is_no_fault_of_the_server(changes):
    with smtp_server() as server:
        backend = SmtpBackend(f"smtp://127.0.0.1:{server.port}")
        bad, good = post(a_mail(**changes), backend), post(a_mail(), backend)
        backend.close()

    assert (bad.outcome, good.outcome, len(server.taken)) == (REFUSED, SENT, 1)


def test_passwords_go_over_tls_only_and_a_foreign_certificate_gets_none(tls, monkeypatch):
    with smtp_server(tls, EHLO=b"250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN") as server:
        backend = SmtpBackend(f"smtp+tls://office%40school:p%2Fw@127.0.0.1:{server.port}")
        good = post(a_mail(), backend)
        backend.close()
        monkeypatch.delenv("SSL_CERT_FILE")
        smtp.tls.cache_clear()
        seen = len(server.commands)
        bad = post(a_mail(), SmtpBackend(f"smtp+tls://office:pw@127.0.0.1:{server.port}"))

    assert (good.outcome, bad.outcome) == (SENT, NOT_SENT)
    assert [c for c in server.commands[:seen] if c.startswith("AUTH")]
    assert not [c for c in server.commands[seen:] if c.startswith("AUTH")]


def test_a_wrong_password_is_not_sent():
    with smtp_server(AUTH=b"535 no") as server:
        result = post(a_mail(), SmtpBackend(f"smtp://office:wrong@127.0.0.1:{server.port}"))

    assert result.outcome == NOT_SENT
    assert "wrong" not in result.error


def test_a_post_that_waits_for_its_answer_can_be_broken_off():
    with smtp_server(TEXT=None) as server:
        backend = SmtpBackend(f"smtp://127.0.0.1:{server.port}")
        results = []
        thread = threading.Thread(target=lambda: results.append(post(a_mail(), backend)))
        thread.start()
        wait_until(lambda: server.texts)
        backend.abort()
        thread.join(PATIENCE_S)

    assert [result.outcome for result in results] == [UNKNOWN]
