"""SendGrid's event webhook: verify, store, wake a worker, answer."""

import json
import logging
from typing import Any

from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.webhooks.sendgrid import SendGridTrackingWebhookView
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from csf import clock
from csf.jobs.queue import enqueue
from notifications.delivery.events import event_row
from notifications.models import EmailEvent

logger = logging.getLogger(__name__)

# SendGrid repeats for a day, and it is not known whether it signs a repeat again. anymail itself takes a
# signature of any age; storing is idempotent, so a replay within this time changes nothing.
OLDEST_S, NEWEST_S = 26 * 3600, 5 * 60
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


def _row(event: Any) -> EmailEvent | None:
    """None if it is not an event, so that the others in its batch are not lost."""
    try:
        return event_row(event)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError, RecursionError) as error:
        logger.error("SendGrid posted an event that cannot be read: %s", type(error).__name__)
        return None


class SendGridEvents(SendGridTrackingWebhookView):
    """anymail's view for its signature check; a batch is stored in one statement instead of a signal an
    event."""

    def validate_request(self, request: HttpRequest) -> None:
        if not self.webhook_verification_key:  # anymail would take unsigned events then
            raise AnymailWebhookValidationFailure("no public key is configured")
        # (anymail calls its own check of the signature too: each class's validate_request is run)
        signed_at, now_s = request.headers.get(TIMESTAMP, ""), clock.now().timestamp()
        age_s = now_s - int(signed_at) if signed_at.isascii() and signed_at.isdigit() else None
        if age_s is None or not -NEWEST_S <= age_s <= OLDEST_S:
            raise AnymailWebhookValidationFailure("the signature is too old")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.run_validators(request)  # raises ValueError for a signature that is not ASCII
            events = json.loads(request.body)
        except (ValueError, OverflowError, RecursionError):
            return HttpResponse(status=400)
        if not isinstance(events, list):
            return HttpResponse(status=400)
        rows = [row for event in events if (row := _row(event))]
        if events and not rows:  # SendGrid repeats them for a day: time to find out what they are
            return HttpResponse(status=400)
        with transaction.atomic():
            EmailEvent.objects.bulk_create(rows, ignore_conflicts=True)
            enqueue("notifications.tasks.fold_events")
        return HttpResponse()
