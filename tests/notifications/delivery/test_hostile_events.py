"""Signed events that hold what PostgreSQL's text cannot: SendGrid repeats what servers of others said."""

import pytest
from django.test import Client

from notifications.delivery.events import fold_events
from notifications.models import EmailEvent, EmailMessage
from tests.notifications.delivery.signed_events import deliver, event, sent_message

ODD = {"a NUL": "no\x00 such user", "half a character": "no \ud83d such user", "much": "x" * 5000}


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["reason", "type", "event", "sg_event_id", "sg_message_id", "email"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_text_in_an_event_loses_neither_it_nor_its_batch(field, odd):
    message = sent_message()
    batch = [event(message, "bounce", **{field: ODD[odd]}), event(message, "delivered")]

    assert deliver(batch) == 200
    assert deliver(batch) == 200

    assert EmailEvent.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Twilio-Email-Event-Webhook-Timestamp": "\u0663"},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "9" * 400},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "-1"},
        {"X-Forwarded-For": "\x00, <script>", "Host": "testserver"},
        {"Content-Type": "multipart/form-data"},
    ],
)
def test_odd_headers_get_400_and_leave_no_row(headers):
    client = Client(raise_request_exception=False)

    answer = client.post(
        "/anymail/sendgrid/tracking/", b"[]", content_type="application/json", headers=headers
    )

    assert answer.status_code == 400
    assert not EmailEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "broken",
    [
        {"event": "delivered"},
        {"timestamp": 1_790_000_000},
        {"event": "bounce", "timestamp": "soon"},
        {"event": "bounce", "timestamp": None},
        {"event": "bounce", "timestamp": 10**30},
        {"event": "bounce", "timestamp": -(10**18)},
        [],
        None,
        7,
        "delivered",
    ],
)
def test_a_broken_event_costs_only_itself(broken):
    message = sent_message()

    assert deliver([broken, event(message, "processed"), broken, event(message, "delivered")]) == 200
    fold_events()

    assert EmailMessage.objects.get().status == "delivered"
    assert EmailEvent.objects.count() == 2


NESTED = "[" * 200 + "]" * 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"[" * 200_000, 400),
        (b"[" * 50_000 + b"]" * 50_000, 400),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, 400),
        (NESTED.encode(), 400),
        (b'{"event": "delivered", "timestamp": 1790000000}', 400),
        (b"\xff\xfe[]", 400),
        (b"NaN", 400),
        (b'[{"event": "open", "timestamp": NaN}]', 400),
        *(
            (f'[{{"event": "bounce", "timestamp": 1790000000, "{name}": {value}}}]'.encode(), 200)
            for name in ("email", "reason", "type", "outbox_id", "sg_event_id", "bounce_classification")
            for value in (NESTED, '{"a": {"b": [1, 2, {"c": "\\u0000"}]}}', "1e400", "true")
        ),
    ],
)
def test_no_body_however_nested_is_a_server_error(body, answer):
    assert deliver([], body=body) == answer
    fold_events()

    assert EmailEvent.objects.filter(folded_at=None).count() == 0
