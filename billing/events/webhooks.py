"""Stripe's webhooks: the view that takes them in, and the receivers that dj-stripe calls from a worker.

The event is only a hint. Receivers read the object that dj-stripe has just fetched, call one `settle_...`,
and never raise for objects that are not ours.
"""

import json
import logging
import re
from typing import Any

import stripe
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from djstripe.event_handlers import djstripe_receiver
from djstripe.models import Event, PaymentIntent, Session, SetupIntent, WebhookEndpoint

from billing.events import webhook_health
from billing.installments.card_updates import settle_setup_intent
from billing.ledger.settle import settle_checkout_session, settle_payment_intent
from billing.models import StripeEvent
from csf import clock
from csf.encryption import Unreadable
from csf.jobs.queue import enqueue_once

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 512 * 1024
EVENT_ID, EVENT_TYPE = re.compile(r"evt_\w{1,200}", re.ASCII), re.compile(r"[a-z0-9_.]{1,80}")
TIME = re.compile(r"\d{1,12}")


class BadEvent(Exception):
    """Not from Stripe, or not an event."""


class BadSignature(BadEvent):
    """Not made with the secret that we know, or not just now."""


@csrf_exempt
@login_not_required
@require_POST
def stripe_webhook(request: HttpRequest, uuid: str) -> HttpResponse:
    """Verify, store, wake a worker, answer. Nothing is parsed or stored before the signature is checked."""
    endpoint = get_object_or_404(WebhookEndpoint, djstripe_uuid=uuid)
    if len(request.body) > MAX_BODY_BYTES:  # Django itself answers 400 above 2.5 MB, before reading
        return HttpResponse(status=413)
    try:
        event = verified_event(request.body, request.headers.get("Stripe-Signature", ""), endpoint)
    except BadSignature:
        webhook_health.note_refused(now=clock.now())
        return HttpResponse(status=400)
    except BadEvent:
        return HttpResponse(status=400)
    except Unreadable as error:  # a key of FIELD_KEYS is gone; Stripe asks again for three days
        logger.error("webhooks cannot be verified: %s", error)
        return HttpResponse(status=503)
    StripeEvent.objects.bulk_create([event], ignore_conflicts=True)
    # Only after the commit: a task that is already running would look too early. The sweep needs no task.
    transaction.on_commit(lambda: enqueue_once("billing.tasks.process_events"))
    return HttpResponse(status=200)


def verified_event(body: bytes, header: str, endpoint: WebhookEndpoint) -> StripeEvent:
    """The unsaved inbox row of a signed event. Raises BadEvent for everything else."""
    if not header.isascii():  # verify_header would raise TypeError: a 500 for anyone
        raise BadEvent
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, header, endpoint.secret)
        # verify_header would look at the past only, and by this host's clock.
        if abs(clock.now().timestamp() - _signed_at(header)) > endpoint.djstripe_tolerance:
            raise BadSignature
        data = json.loads(text)
        good = (
            EVENT_ID.fullmatch(data["id"])
            and EVENT_TYPE.fullmatch(data["type"])
            and type(data["livemode"]) is bool
            and isinstance(data["data"]["object"], dict)
        )
    except stripe.SignatureVerificationError as error:
        raise BadSignature from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadEvent from error
    if not good:
        raise BadEvent
    return StripeEvent(stripe_id=data["id"], type=data["type"], livemode=data["livemode"], body=text)


def _signed_at(header: str) -> int:
    """The time that the signature is for: with two, ours might not be the one that was checked."""
    [found] = [part.removeprefix("t=") for part in header.split(",") if part.startswith("t=")]
    if not TIME.fullmatch(found):
        raise ValueError("no time in the signature")
    return int(found)


@djstripe_receiver("payment_intent.succeeded")
def payment_intent_succeeded(event: Event, **kwargs: Any) -> None:
    _settle_intent_of(event)


@djstripe_receiver("payment_intent.payment_failed")
def payment_intent_failed(event: Event, **kwargs: Any) -> None:
    _settle_intent_of(event)


@djstripe_receiver("checkout.session.completed")
def checkout_session_completed(event: Event, **kwargs: Any) -> None:
    _settle_session_of(event)


@djstripe_receiver("checkout.session.expired")
def checkout_session_expired(event: Event, **kwargs: Any) -> None:
    _settle_session_of(event)


@djstripe_receiver("setup_intent.succeeded")
def setup_intent_succeeded(event: Event, **kwargs: Any) -> None:
    for intent in SetupIntent.objects.filter(id=event.data["object"]["id"]).select_related("payment_method"):
        if intent.payment_method:
            settle_setup_intent(intent.stripe_data | {"payment_method": intent.payment_method.stripe_data})


def _settle_intent_of(event: Event) -> None:
    # No row: the object is gone at Stripe, and dj-stripe calls its receivers all the same.
    for intent in PaymentIntent.objects.filter(id=event.data["object"]["id"]).select_related(
        "payment_method"
    ):
        method = intent.payment_method and intent.payment_method.stripe_data
        settle_payment_intent(intent.stripe_data | {"payment_method": method})


def _settle_session_of(event: Event) -> None:
    for session in Session.objects.filter(id=event.data["object"]["id"]):
        settle_checkout_session(session.stripe_data)
