"""Signed events that hold what PostgreSQL's text cannot: SendGrid repeats what servers of others said."""

import pytest
from django.test import Client

from notifications.models import EmailEvent
from tests.notifications.test_events import deliver, event, public_key, sent_message  # noqa: F401

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
