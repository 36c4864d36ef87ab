import json
import time
from collections import Counter
from itertools import pairwise

import pytest
import time_machine

from demo.standins.sendgrid import MailServer, new_keypair
from tests.demo.sendgrid_client import EventReceiver, a_mail, is_signed, send
from tests.waiting import wait_until


@pytest.fixture
def receiver():
    """One for each test: what an earlier test still had under way goes elsewhere."""
    with EventReceiver() as running:
        yield running


@pytest.fixture(scope="module")
def running():
    with MailServer() as server:
        yield server


@pytest.fixture
def mail(running, receiver):
    running.reset()
    running.control(event_url=receiver.url, event_delay_ms=5, event_batch_ms=2)
    return running


def nothing_due():
    """The clock of the stand-in, which runs in this process, stands still; afterwards all is due at once."""
    return time_machine.travel(time.time() - 60, tick=False)


def told(mail, receiver, address):
    send(mail, a_mail(address))
    mail.wait_for_events()
    return receiver.events()


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("plain", ["processed", "delivered"]),
        ("bounce", ["processed", "bounce"]),
        ("latebounce", ["processed", "delivered", "bounce"]),
        ("block", ["processed", "bounce"]),
        ("defer", ["processed", "deferred", "delivered"]),
        ("drop", ["dropped"]),
        ("spam", ["processed", "delivered", "spamreport"]),
        ("unsubscribe", ["processed", "delivered", "unsubscribe"]),
        ("silent", []),
        ("status503", []),
        ("status504", ["processed", "delivered"]),
    ],
)
def test_events_of_a_magic_address(mail, receiver, name, events):
    assert [e["event"] for e in told(mail, receiver, f"{name}@example.org")] == events


def test_event_has_sendgrids_shape(mail, receiver):
    sent_at = int(time.time())
    delivered = told(mail, receiver, "pat@example.org")[1]

    message_id = mail.requests()[0]["message_id"]
    assert sent_at <= delivered.pop("timestamp") <= time.time()
    assert delivered.pop("sg_event_id")
    assert delivered.pop("sg_message_id").startswith(f"{message_id}.filter")
    assert delivered == {
        "event": "delivered",
        "email": "pat@example.org",
        "smtp-id": "<order.1042.1@mail.example.com>",
        "category": ["order_confirmation"],
        "asm_group_id": 12,
        "response": "250 2.0.0 OK",
        "ip": "127.0.0.1",
        "tls": 1,
        "outbox_id": "01J",
        "n": "7",
        "anymail_id": "6189f622-b181-4c3b-a03d-2903113d2c10",
    }


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("bounce", "type", "bounce"),
        ("block", "type", "blocked"),
        ("drop", "reason", "Bounced Address"),
        ("dropspam", "reason", "Spam Reporting Address"),
        ("dropunsubscribed", "reason", "Unsubscribed Address"),
    ],
)
def test_event_says_why(mail, receiver, name, field, value):
    assert told(mail, receiver, f"{name}@example.org")[-1][field] == value


def test_late_bounce_comes_without_message_id(mail, receiver):
    late = told(mail, receiver, "latebounce@example.org")[-1]

    assert "sg_message_id" not in late
    assert late["outbox_id"] == "01J"


def test_arguments_named_like_a_field_lose(mail, receiver):
    send(
        mail, a_mail("bounce@example.org", custom_args={"event": "mine", "reason": "mine", "outbox_id": "9"})
    )
    mail.wait_for_events()

    assert receiver.names() == ["processed", "bounce"]
    assert receiver.events()[1]["reason"] != "mine"
    assert receiver.events()[1]["outbox_id"] == "9"


def test_each_recipient_gets_its_own_events(mail, receiver):
    people = {"to": [{"email": "pat@example.org"}], "cc": [{"email": "bounce@example.org"}]}
    send(mail, a_mail(personalizations=[people]))
    mail.wait_for_events()

    seen = Counter((e["email"], e["event"]) for e in receiver.events())
    assert seen == {
        ("pat@example.org", "processed"): 1,
        ("pat@example.org", "delivered"): 1,
        ("bounce@example.org", "processed"): 1,
        ("bounce@example.org", "bounce"): 1,
    }


def test_a_cut_mail_still_gets_its_events(mail, receiver):
    with pytest.raises(ConnectionError):
        send(mail, a_mail("cut@example.org"))
    mail.wait_for_events()

    assert receiver.names() == ["processed", "delivered"]


def test_posts_are_signed(mail, receiver):
    told(mail, receiver, "pat@example.org")

    for headers, raw, _ in receiver.posts:
        assert is_signed(mail.public_key, headers, raw)
        assert not is_signed(mail.public_key, headers, raw + b" ")
        assert not is_signed(new_keypair()[1], headers, raw)


def test_a_given_key_signs(receiver):
    private, public = new_keypair()
    with MailServer(event_url=receiver.url, private_key_pem=private) as mail:
        assert mail.public_key == public
        receiver.posts.clear()
        told(mail, receiver, "pat@example.org")

    assert is_signed(public, *receiver.posts[0][:2])


def test_anymail_takes_the_signature(mail, receiver):
    rf = pytest.importorskip("django.test").RequestFactory()
    webhooks = pytest.importorskip("anymail.webhooks.sendgrid")
    settings = pytest.importorskip("django.conf").settings
    if not settings.configured:
        pytest.skip("needs Django's settings")
    told(mail, receiver, "pat@example.org")
    headers, raw, _ = receiver.posts[0]
    names = ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp")

    view = webhooks.SendGridTrackingWebhookView(tracking_webhook_verification_key=mail.public_key)
    request = rf.post("/", raw, content_type="application/json", headers={n: headers[n] for n in names})
    view.validate_request(request)

    event = view.parse_events(request)[0]
    assert event.event_type == "queued"
    assert event.metadata == {"outbox_id": "01J", "n": "7"}


def test_events_come_in_batches(mail, receiver):
    mail.control(event_batch=7)
    with nothing_due():
        for number in range(10):
            send(mail, a_mail(f"pat+{number}@example.org"))
    mail.wait_for_events()

    assert Counter(receiver.names()) == {"processed": 10, "delivered": 10}
    assert sorted(len(json.loads(raw)) for _, raw, _ in receiver.posts) == [6, 7, 7]


def test_delay_is_kept(mail, receiver):
    mail.control(event_delay_ms=150)

    told(mail, receiver, "pat@example.org")

    received_at = mail.requests()[0]["received_at"]
    after_s = {event["event"]: at - received_at for _, raw, at in receiver.posts for event in json.loads(raw)}
    assert after_s["processed"] >= 0.15
    assert after_s["delivered"] >= 0.3


def test_refused_posts_come_again_with_growing_pauses(mail, receiver):
    mail.control(event_retry_ms=30, event_delay_ms=0)
    receiver.answers[:] = [500, 400, 302]

    told(mail, receiver, "pat@example.org")

    times = [at for _, _, at in receiver.posts]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len({raw for _, raw, _ in receiver.posts}) == 1
    assert [pause >= wanted for pause, wanted in zip(pauses, [0.03, 0.06, 0.12], strict=True)] == [True] * 3
    assert [(e["delivery"], e["tries"], e["status"]) for e in mail.events()] == [("delivered", 4, 200)] * 2


def test_a_refused_batch_does_not_hold_up_the_next(mail, receiver):
    mail.control(event_retry_ms=600_000, event_delay_ms=0)
    receiver.answers[:] = [500]
    send(mail, a_mail("drop+1@example.org"))
    wait_until(lambda: receiver.posts)
    send(mail, a_mail("drop+2@example.org"))

    wait_until(lambda: len(receiver.posts) == 2)
    assert [e["email"] for e in receiver.events()] == ["drop+1@example.org", "drop+2@example.org"]


def test_duplicates_with_the_same_and_with_new_ids(mail, receiver):
    mail.control(event_duplicates=1.0, seed=1)
    for number in range(10):
        send(mail, a_mail(f"drop+{number}@example.org"))
    mail.wait_for_events()

    events = receiver.events()
    assert set(Counter(e["email"] for e in events).values()) == {2}
    assert set(Counter(e["sg_event_id"] for e in events).values()) == {1, 2}


def test_loss_is_noted(mail, receiver):
    mail.control(event_loss=0.5, seed=3)
    for number in range(20):
        send(mail, a_mail(f"drop+{number}@example.org"))
    mail.wait_for_events()

    deliveries = Counter(e["delivery"] for e in mail.events())
    assert set(deliveries) == {"delivered", "lost"}
    assert deliveries["delivered"] == len(receiver.events())


def test_disorder(mail, receiver):
    mail.control(event_shuffle=True, seed=5, event_delay_ms=20)
    for number in range(20):
        send(mail, a_mail(f"defer+{number}@example.org"))
    mail.wait_for_events()

    orders = {}
    for event in receiver.events():
        orders.setdefault(event["email"], []).append(event["event"])
    assert all(sorted(order) == ["deferred", "delivered", "processed"] for order in orders.values())
    assert any(order[0] != "processed" for order in orders.values())


def test_events_can_be_switched_off(mail, receiver):
    mail.control(events=False)
    send(mail, a_mail())

    assert mail.events() == []


def test_without_url_there_are_no_events():
    with MailServer() as mail:
        send(mail, a_mail())
        assert mail.events() == []


def test_suspension_is_told_once(mail, receiver):
    mail.control(suspended=True)
    mail.control(suspended=True)
    mail.wait_for_events()

    (event,) = receiver.events()
    assert (event["event"], event["type"]) == ("account_status_change", "compliance_suspend")
    assert "email" not in event


def test_reset_drops_pending_events(mail, receiver):
    with nothing_due():
        send(mail, a_mail())
        mail.reset()
        mail.control(event_url=receiver.url)
        send(mail, a_mail("later@example.org"))
    mail.wait_for_events()

    assert {event["email"] for event in receiver.events()} == {"later@example.org"}
