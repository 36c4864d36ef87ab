import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from demo.standins.sendgrid import MailServer
from tests.demo.sendgrid_client import HEADERS, a_mail, ask, send

SLOW_S = 30  # for how long the stand-in holds the answer to "slow"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def running():
    with MailServer() as server:
        yield server


@pytest.fixture
def mail(running):
    running.reset()
    return running


def outcome(server, body, timeout=60):
    """The status, or the class of what the socket gave instead."""
    try:
        return send(server, body, timeout=timeout)[0]
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("name", "seen", "noted", "accepted"),
    [
        ("plain", 202, 202, True),
        ("bounce", 202, 202, True),
        ("silent", 202, 202, True),
        ("drop", 202, 202, True),
        ("status400", 400, 400, False),
        ("status401", 401, 401, False),
        ("status403", 403, 403, False),
        ("status413", 413, 413, False),
        ("status429", 429, 429, False),
        ("status500", 500, 500, False),
        ("status503", 503, 503, False),
        ("cut", "RemoteDisconnected", "cut", True),
        ("cutbefore", "RemoteDisconnected", "cut", False),
        ("reset", "ConnectionResetError", "reset", True),
        ("garbage", "BadStatusLine", "garbage", True),
        ("torn", "IncompleteRead", "torn", True),
    ],
)
def test_magic_address(mail, name, seen, noted, accepted):
    assert outcome(mail, a_mail(f"{name}@example.org")) == seen
    assert outcome(mail, a_mail(f"{name}+7@example.org")) == seen

    assert [(r["status"], r["accepted"]) for r in mail.requests()] == [(noted, accepted)] * 2
    assert len(mail.messages()) == (2 if accepted else 0)


@pytest.mark.parametrize(
    ("name", "status", "accepted"),
    [
        ("status200", 200, False),
        ("status302", 302, False),
        ("status500html", 500, False),
        ("status502", 502, False),
        ("status504", 504, True),
    ],
)
def test_answers_of_things_in_between_are_pages(mail, name, status, accepted):
    answered, headers, raw = ask(mail, "POST", "/v3/mail/send", a_mail(f"{name}@example.org"))

    assert answered == status
    assert headers["Content-Type"].startswith("text/html")
    assert b"errors" not in raw
    assert mail.requests()[0]["accepted"] == accepted


def test_429_says_when_to_come_again(mail):
    mail.control(rate_reset_seconds=30)
    asked_at = int(time.time())

    _, headers, body = send(mail, a_mail("status429@example.org"))

    assert asked_at + 30 <= int(headers["X-RateLimit-Reset"]) <= time.time() + 30
    assert headers["X-RateLimit-Remaining"] == "0"
    assert body["errors"][0]["message"] == "too many requests"


def test_slow_is_accepted_and_answered_too_late(mail):
    assert outcome(mail, a_mail("slow@example.org"), timeout=1) == "TimeoutError"
    mail.control(slow_ms=100)
    assert outcome(mail, a_mail("slow@example.org")) == 202

    assert [(r["status"], r["accepted"]) for r in mail.requests()] == [("slow", True)] * 2


def test_a_held_answer_does_not_hold_up_the_end():
    start = time.monotonic()
    with MailServer() as mail:
        outcome(mail, a_mail("slow@example.org"), timeout=1)
    assert time.monotonic() - start < SLOW_S / 2


def test_latency_is_real_and_does_not_queue(mail):
    mail.control(latency_ms=1000)
    start = time.monotonic()

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: send(mail, a_mail())[0], range(10)))

    assert statuses == [202] * 10
    assert 1 <= time.monotonic() - start < 10  # one after the other they take 10 s


@pytest.mark.parametrize(
    ("share", "seen", "accepted"),
    [
        ("share_429", 429, False),
        ("share_500", 500, False),
        ("share_503", 503, False),
        ("share_cut_before", "RemoteDisconnected", False),
        ("share_cut_after", "RemoteDisconnected", True),
    ],
)
def test_share_of_all(mail, share, seen, accepted):
    mail.control(**{share: 1.0})

    assert outcome(mail, a_mail()) == seen
    assert mail.requests()[0]["accepted"] == accepted


def test_shares_are_drawn_alike_with_a_seed(mail):
    def draw():
        mail.reset()
        mail.control(seed=7, share_429=0.2, share_cut_after=0.1)
        for _ in range(60):
            outcome(mail, a_mail())
        return [entry["status"] for entry in mail.requests()]

    first = draw()

    assert set(first) == {202, 429, "cut"}
    assert 3 <= first.count(429) <= 25
    assert draw() == first


def test_next_requests_are_answered_as_told(mail):
    mail.control(next=["status503", "cut"])

    assert [outcome(mail, a_mail()) for _ in range(3)] == [503, "RemoteDisconnected", 202]
    assert mail.control()["next"] == []


def test_rate_limit(mail):
    mail.control(rate_limit=5)

    with time_machine.travel(NOON, tick=False):  # the stand-in runs in this process
        assert [outcome(mail, a_mail()) for _ in range(7)] == [202] * 5 + [429] * 2
    with time_machine.travel(NOON + timedelta(seconds=1), tick=False):
        assert outcome(mail, a_mail()) == 202


@pytest.mark.parametrize(
    ("switch", "status", "words"),
    [
        ("key_revoked", 401, "The provided authorization grant is invalid, expired, or revoked"),
        ("suspended", 403, "access forbidden"),
    ],
)
def test_switches_of_the_account(mail, switch, status, words):
    mail.control(**{switch: True})
    answered, _, body = send(mail, a_mail())
    mail.control(**{switch: False})

    assert (answered, body["errors"][0]["message"]) == (status, words)
    assert send(mail, a_mail())[0] == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"share_429": 1.5},
        {"share_429": "0.1"},
        {"share_429": True},
        {"latency_ms": -1},
        {"latency_ms": 0.5},
        {"latency_ms": True},
        {"event_batch": 0},
        {"events": 1},
        {"next": ["nosuch"]},
        {"next": "cut"},
        {"seed": "x"},
        {"event_url": "https://evil.example/"},
        {"event_url": "file:///etc/passwd"},
    ],
)
def test_bad_switch_changes_nothing(mail, changes):
    before = mail.control()

    with pytest.raises(ValueError, match=next(iter(changes))):
        mail.control(**{"latency_ms": 5, **changes})

    assert mail.control() == before


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff"])
def test_control_wants_an_object(mail, raw):
    assert ask(mail, "POST", "/_control", raw)[0] == 400


def test_events_go_to_loopback_only():
    with pytest.raises(ValueError, match="loopback"):
        MailServer(event_url="https://evil.example/")


def test_cut_leaves_no_answer_on_a_kept_connection(mail):
    connection = http.client.HTTPConnection("127.0.0.1", mail.port)
    connection.request("POST", "/v3/mail/send", json.dumps(a_mail()), HEADERS)
    connection.getresponse().read()
    connection.request("POST", "/v3/mail/send", json.dumps(a_mail("cut@example.org")), HEADERS)

    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()
    assert [r["status"] for r in mail.requests()] == [202, "cut"]
