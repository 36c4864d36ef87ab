"""Each way a post can end, over real sockets: sent, known not sent, refused for good, or unknown."""

import os
import socket
import struct
import threading
import time
from email.utils import formatdate

import pytest
import time_machine

from csf import http_client
from notifications.sending.transport import Outcome, SendGridBackend, post
from tests.notifications.sending.socket_server import a_mail, answer, answering, server
from tests.waiting import PATIENCE_S, wait_until

SENT, NOT_SENT, HELD_BACK = Outcome.SENT, Outcome.NOT_SENT, Outcome.HELD_BACK
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def backend_at(settings):
    """A backend that posts to `url`. It is only impatient where nothing would ever come."""
    opened = []

    def open_backend(url, *, connect_s=PATIENCE_S, read_s=PATIENCE_S):
        settings.ANYMAIL = settings.ANYMAIL | {
            "SENDGRID_API_URL": f"{url}/v3/",
            "REQUESTS_TIMEOUT": (connect_s, read_s),
        }
        opened.append(SendGridBackend())
        return opened[-1]

    yield open_backend
    for backend in opened:
        backend.close()


def silence(raw, *rest):
    rest[-1].wait(5)


def reset(raw, *rest):
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


def plain_text(raw, *rest):
    raw.recv(10)
    raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\nThis is no TLS port.")


def bad_record(connection, stop):
    os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    stop.wait(5)


def alert(connection, stop):
    os.write(connection.fileno(), b"\x15\x03\x03\x00\x02\x02\x50")
    stop.wait(5)


def trickle(connection, stop):
    connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")
    while not stop.wait(0.05):
        connection.sendall(b"X")


def test_nobody_listens(backend_at):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    result = post(a_mail(), backend_at(f"http://127.0.0.1:{port}"))

    assert (result.outcome, result.error.split(":")[0]) == (NOT_SENT, "ConnectionRefusedError")


def test_connecting_takes_too_long(backend_at):
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())

        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        result = post(a_mail(), backend_at(url, connect_s=0.3))

    assert (result.outcome, result.error.split(":")[0]) == (NOT_SENT, "TimeoutError")


def test_the_certificate_is_not_trusted(backend_at, certificate):
    http_client.tls.cache_clear()
    with server(answering(ACCEPTED), tls=certificate[1]) as (url, seen):
        result = post(a_mail(), backend_at(url))

    assert (result.outcome, result.error.split(":")[0]) == (NOT_SENT, "SSLCertVerificationError")
    assert seen == []


@pytest.mark.parametrize("script", [silence, plain_text, reset])
def test_trouble_in_the_tls_handshake_is_before_the_post(backend_at, tls, script):
    with server(script, tls=tls) as (url, seen):
        result = post(a_mail(), backend_at(url, connect_s=0.3))

    assert (result.outcome, seen) == (NOT_SENT, [])


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize(
    "what",
    [
        reset,
        silence,
        b"",
        b"\x15\x03\x01 no HTTP \x00\r\n\r\n",
        b"HTTP/1.1 20",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\ntorn",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nto",
        bad_record,
        alert,
    ],
)
def test_whatever_goes_wrong_after_the_request_is_unknown(backend_at, tls, what, over_tls):
    read_s = 0.3 if what is silence else PATIENCE_S
    with server(answering(what), tls=tls if over_tls else None) as (url, seen):
        result = post(a_mail(), backend_at(url, read_s=read_s))

    assert (result.outcome, result.http_status, len(seen)) == (UNKNOWN, None, 1)
    assert result.error
    assert "\0" not in result.error


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(202), SENT),
        (answer(200, "<h1>Welcome to the hotel</h1>"), UNKNOWN),
        (answer(204), UNKNOWN),
        (answer(302, Location="/"), UNKNOWN),
        (answer(400, '{"errors": [{"message": "no"}]}'), REFUSED),
        (answer(413), REFUSED),
        (answer(401), HELD_BACK),
        (answer(403), HELD_BACK),
        (answer(404), UNKNOWN),
        (answer(429), HELD_BACK),
        (answer(500, '{"errors": [{"message": "no"}]}'), NOT_SENT),
        (answer(500, "<h1>500</h1>\0"), UNKNOWN),
        (answer(500, '{"errors": []}'), UNKNOWN),
        (answer(500, "[]"), UNKNOWN),
        (answer(502), UNKNOWN),
        (answer(503), NOT_SENT),
        (answer(504), UNKNOWN),
        (answer(599), UNKNOWN),
    ],
)
def test_each_status(backend_at, said, expected):
    with server(answering(said)) as (url, seen):
        result = post(a_mail(), backend_at(url))

    assert (result.outcome, result.http_status) == (expected, int(said[9:12]))
    assert len(seen) == 1  # no redirect is followed
    assert "\0" not in result.error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"Retry-After": "{date_in_30_s}"}, 30),
        ({"Retry-After": "tomorrow"}, 60),
        ({"Retry-After": "999999"}, 600),
        ({"Retry-After": "nan"}, 60),
        ({"X-RateLimit-Reset": "{in_30_s}", "Retry-After": "7"}, 30),
        ({"X-RateLimit-Reset": "1"}, 1),
        ({"X-RateLimit-Reset": "soon"}, 60),
    ],
)
def test_how_long_a_429_asks_us_to_wait(backend_at, headers, seconds):
    in_30_s = int(time.time()) + 30
    times = {"in_30_s": in_30_s, "date_in_30_s": formatdate(in_30_s, usegmt=True)}
    stamped = {name: value.format(**times) for name, value in headers.items()}

    with time_machine.travel(in_30_s - 30, tick=False), server(answering(answer(429, **stamped))) as (url, _):
        result = post(a_mail(), backend_at(url))

    assert (result.outcome, result.retry_after_s) == (HELD_BACK, seconds)


def test_the_provider_s_books_agree(mail_server, backend_at):
    expected = {
        "plain": (SENT, True),
        "slow": (UNKNOWN, True),
        "cut": (UNKNOWN, True),
        "cutbefore": (UNKNOWN, False),
        "reset": (UNKNOWN, True),
        "garbage": (UNKNOWN, True),
        "torn": (UNKNOWN, True),
        "status504": (UNKNOWN, True),
        "status502": (UNKNOWN, False),
        "status500html": (UNKNOWN, False),
        "status200": (UNKNOWN, False),
        "status302": (UNKNOWN, False),
        "status500": (NOT_SENT, False),
        "status503": (NOT_SENT, False),
        "status429": (HELD_BACK, False),
        "status401": (HELD_BACK, False),
        "status403": (HELD_BACK, False),
        "status400": (REFUSED, False),
        "status413": (REFUSED, False),
    }
    mail_server.control(slow_ms=60_000)
    patient, impatient = backend_at(mail_server.url), backend_at(mail_server.url, read_s=0.3)

    results = {
        name: post(a_mail(f"{name}@example.org"), impatient if name == "slow" else patient)
        for name in expected
    }

    books = {request["to"][0].partition("@")[0]: request for request in mail_server.requests()}
    assert {name: (results[name].outcome, books[name]["accepted"]) for name in expected} == expected
    assert results["plain"].provider_id == books["plain"]["message_id"]
    assert len(mail_server.requests()) == len(expected)


@pytest.mark.parametrize("to", ["Pat, Jr. <pat@example.org>", "pat@", ""])
def test_an_address_that_is_none_is_refused_unposted(mail_server, backend_at, to):
    result = post(a_mail(to), backend_at(mail_server.url))

    assert result.outcome == REFUSED
    assert mail_server.requests() == []


def test_a_line_break_in_a_subject_adds_no_recipient(mail_server, backend_at):
    mail = a_mail(subject="Welcome\r\nBcc: all@example.org")

    result = post(mail, backend_at(mail_server.url))

    # It travels as JSON, so it is no header; the rendering keeps subjects on one line anyway.
    assert result.outcome == REFUSED
    assert [(r["to"], r["subject"]) for r in mail_server.requests()] == [(["pat@example.org"], mail.subject)]


def test_one_connection_for_twenty_posts(mail_server, backend_at):
    backend = backend_at(mail_server.url)

    results = [post(a_mail(), backend) for _ in range(20)]

    assert {result.outcome for result in results} == {SENT}
    assert len({request["connection"] for request in mail_server.requests()}) == 1


def test_a_connection_that_was_idle_is_opened_anew(mail_server, backend_at, monkeypatch):
    backend = backend_at(mail_server.url)

    post(a_mail(), backend)
    monkeypatch.setattr(http_client, "MAX_IDLE_S", 0)
    post(a_mail(), backend)

    assert len({request["connection"] for request in mail_server.requests()}) == 2


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_connection_that_the_server_closed_while_idle_is_opened_anew(backend_at, tls, over_tls):
    with server(answering(ACCEPTED), answering(ACCEPTED), tls=tls if over_tls else None) as (url, seen):
        backend = backend_at(url)
        first = post(a_mail(), backend)
        http_client.wait_for_read(backend.session._connection.sock, timeout=PATIENCE_S)
        second = post(a_mail(), backend)

    assert [first.outcome, second.outcome, len(seen)] == [SENT, SENT, 2]


def test_an_answer_that_closes_the_connection_leaves_a_fresh_start(backend_at):
    goodbye = answer(202, Connection="close")
    with server(answering(goodbye)) as (url, seen):
        backend = backend_at(url)
        first = post(a_mail(), backend)
    second = post(a_mail(), backend)  # connecting again is a phase of its own: refused is "not sent"

    assert [first.outcome, second.outcome, len(seen)] == [SENT, NOT_SENT, 1]


def test_an_answer_that_trickles_in_for_ever_can_be_broken_off(backend_at):
    with server(answering(trickle)) as (url, seen):
        backend = backend_at(url)
        results = []
        thread = threading.Thread(target=lambda: results.append(post(a_mail(), backend)))
        thread.start()
        wait_until(lambda: seen)
        backend.abort()
        thread.join(PATIENCE_S)

    assert [result.outcome for result in results] == [UNKNOWN]
