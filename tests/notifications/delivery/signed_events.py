"""SendGrid's events about an email, signed and posted as SendGrid does it."""

import json
import time

from django.test import Client

from demo.standins.sendgrid.events import load_private_key, new_keypair, signed_headers
from notifications.models import EmailMessage
from tests.factories import create_order

PRIVATE, PUBLIC = new_keypair()
PATH = "/anymail/sendgrid/tracking/"


def event(message, name, **changes):
    return {
        "event": name,
        "email": message.to,
        "timestamp": 1_790_000_000,
        "sg_event_id": "e1",
        "sg_message_id": "m1.filter",
        "outbox_id": str(message.public_id),
    } | changes


def deliver(events, *, age_s=0, body=None, signature=None):
    raw = json.dumps(events).encode() if body is None else body
    headers = signed_headers(load_private_key(PRIVATE), raw, str(int(time.time() - age_s)))
    if signature is not None:
        headers["X-Twilio-Email-Event-Webhook-Signature"] = signature
    client = Client(raise_request_exception=False)
    return client.post(PATH, raw, content_type="application/json", headers=headers).status_code


def sent_message(status="sent"):
    create_order()
    message = EmailMessage.objects.get()
    EmailMessage.objects.update(status=status)
    return message
