"""SendGrid's signed events: what is refused, what is stored, and how emails move by them."""

import itertools
import time

import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from csf.models import StaffTask
from notifications.delivery.events import fold_events
from notifications.models import DrainSignal, EmailEvent, EmailMessage
from notifications.sending.drain import drain
from tests.factories import create_order
from tests.notifications.delivery.signed_events import PATH, deliver, event, sent_message


def status(message):
    return EmailMessage.objects.get(pk=message.pk).status


@pytest.mark.django_db
def test_the_path_is_the_one_that_sendgrid_is_told():
    assert reverse("sendgrid_events") == PATH


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, 200),
        ({"age_s": 25 * 3600}, 200),
        ({"age_s": 27 * 3600}, 400),
        ({"age_s": -600}, 400),
        ({"signature": ""}, 400),
        ({"signature": "bm9uc2Vuc2U="}, 400),
        ({"signature": "\xe9"}, 400),
        ({"body": b"not json"}, 400),
        ({"body": b'{"event": "delivered"}'}, 400),
        ({"body": b'[{"event": "delivered"}]'}, 400),
        ({"body": b"[7]"}, 400),
        ({"body": b'[{"event": "delivered", "timestamp": 1e400}]'}, 400),
        ({"body": b"x" * 2_600_000}, 400),
        ({"body": b"[]"}, 200),
    ],
)
def test_only_signed_fresh_batches_are_stored(changes, answer):
    message = sent_message()

    assert deliver([event(message, "delivered")], **changes) == answer

    stored = 1 if answer == 200 and "body" not in changes else 0
    assert EmailEvent.objects.count() == stored


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailInsecureWebhookWarning")
def test_without_a_key_nothing_is_taken(settings):
    settings.ANYMAIL = settings.ANYMAIL | {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": None}
    message = sent_message()

    assert deliver([event(message, "delivered")]) == 400
    assert not EmailEvent.objects.exists()


@pytest.mark.django_db
def test_46_copies_with_new_ids_are_one_event():
    message = sent_message()

    for number in range(46):
        assert deliver([event(message, "delivered", sg_event_id=f"e{number}")]) == 200
    assert fold_events() == 1

    assert status(message) == "delivered"
    assert fold_events() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "names", list(itertools.permutations(["processed", "deferred", "delivered", "spamreport"]))
)
def test_the_order_of_events_does_not_matter(names):
    message = sent_message()

    for name in names:
        deliver([event(message, name)])
        fold_events()

    assert status(message) == "complained"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "expected", "task"),
    [
        ({"event": "processed"}, "sent", False),
        ({"event": "deferred", "response": "try later"}, "unknown", False),
        ({"event": "delivered"}, "delivered", False),
        ({"event": "bounce", "type": "bounce", "reason": "550 no such user"}, "bounced", True),
        ({"event": "bounce", "type": "blocked", "reason": "550 blocked"}, "bounced", True),
        ({"event": "dropped", "reason": "Bounced Address"}, "dropped", True),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "complained", False),
        ({"event": "dropped", "reason": "Spam Content"}, "dropped", True),
        ({"event": "spamreport"}, "complained", False),
        ({"event": "open"}, "unknown", False),
        ({"event": "account_status_change"}, "unknown", False),
        ({"event": "delivered", "outbox_id": "of somebody else"}, "unknown", False),
    ],
)
def test_what_each_event_tells(fields, expected, task):
    message = sent_message(status="unknown")

    deliver([event(message, "", **fields)])
    fold_events()

    assert status(message) == expected
    assert StaffTask.objects.filter(kind="email_bounced").exists() == task


@pytest.mark.django_db
def test_a_change_of_the_account_is_told_to_staff_once():
    notices = [
        {"event": "account_status_change", "type": "compliance_suspend", "timestamp": int(time.time()) - age}
        for age in (0, 5)
    ]

    deliver(notices)
    fold_events()

    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == ("email_sender_blocked", "notifications.drainsignal:1")
    assert "compliance_suspend" in task.detail
    closed_s, is_down = DrainSignal.gate()
    assert closed_s > 0  # and only a probe a minute goes out
    assert is_down


NAMES = ["processed", "deferred", "delivered", "bounce", "dropped", "spamreport", "open"]


@pytest.mark.django_db
@settings(max_examples=25)
@given(
    start=st.sampled_from(["queued", "sending", "sent", "unknown", "failed", "expired"]),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=8),
    sizes=st.lists(st.integers(1, 3), max_size=5),
)
def test_events_only_ever_move_an_email_up(start, names, sizes):
    EmailEvent.objects.all().delete()
    EmailMessage.objects.all().delete()
    message = sent_message(status=start)
    before = status(message)
    pending = [event(message, name, timestamp=1_790_000_000 + number) for number, name in enumerate(names)]

    for size in [*sizes, len(pending)]:
        batch, pending = pending[:size], pending[size:]
        deliver(batch)
        fold_events()
        after = status(message)
        assert after == before or after in EmailMessage.EDGES[before]
        before = after


def test_the_whole_way_through_the_stand_in(committed_db, mail_server):
    """Posted, accepted, delivered; with events that come before the answer to the post."""
    mail_server.control(event_delay_ms=0, latency_ms=50)
    create_order()
    drain()
    EmailMessage.objects.update(next_attempt_at=timezone.now())

    [accepted] = mail_server.messages()
    message = EmailMessage.objects.get()
    fields = [
        event(message, name, sg_message_id=accepted["message_id"]) for name in ("delivered", "processed")
    ]
    for each in fields:
        deliver([each])
    fold_events()

    assert status(message) == "delivered"
