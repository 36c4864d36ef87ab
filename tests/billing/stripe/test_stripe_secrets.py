"""Dumps hold no secret besides what FIELD_KEYS protects."""

import base64
import uuid

import pytest
from django.core.management import call_command
from djstripe.models import Account, APIKey, WebhookEndpoint

from billing.stripe.webhook_endpoint import register_endpoint
from csf.encryption import Sealed
from tests.dumps import tables_that_hold
from tests.factories import create_order
from tests.shop import hear, open_page, outcome
from tests.stripe_events import SECRET, UUID, create_endpoint, deliver, event_body

pytestmark = pytest.mark.django_db


def test_stripes_live_key_is_not_in_the_database(settings, shop):
    keys = list(APIKey.objects.values_list("secret", flat=True))

    assert keys
    assert settings.STRIPE_SECRET_KEY not in keys
    assert [*tables_that_hold(settings.STRIPE_SECRET_KEY)] == []


def test_neither_key_nor_webhook_secret_is_there_after_a_payment_and_all_works(settings, shop):
    order = create_order()
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")

    assert outcome(order)["payments"] == [(14400, True)]
    assert [*tables_that_hold(settings.STRIPE_SECRET_KEY)] == []
    assert [*tables_that_hold(SECRET)] == []
    assert Account.objects.get().default_api_key == settings.STRIPE_SECRET_KEY
    APIKey.objects.get().refresh_account()
    assert APIKey.objects.get_or_create_by_api_key(settings.STRIPE_SECRET_KEY)[1] is False
    assert [*tables_that_hold(settings.STRIPE_SECRET_KEY)] == []


def test_a_webhook_is_verified_with_the_secret_that_was_stored_or_registered(settings, stripe_server):
    settings.STRIPE_WEBHOOK_SECRET = SECRET
    register_endpoint(identity=uuid.UUID(UUID), remote=False)

    assert WebhookEndpoint.objects.get().secret == SECRET
    assert isinstance(WebhookEndpoint.objects.values_list("secret", flat=True).get(), Sealed)
    assert [*tables_that_hold(SECRET)] == []
    assert deliver(event_body()) == 200
    assert deliver(event_body(), header="t=1,v1=0") == 400


def test_a_lost_key_refuses_webhooks_for_now_and_lets_nobody_in(settings, caplog):
    create_endpoint()
    settings.FIELD_KEYS = ["other:" + base64.b64encode(b"k" * 32).decode()]

    assert deliver(event_body()) == 503
    assert "is not in FIELD_KEYS" in caplog.text
    assert SECRET not in caplog.text


def test_the_secret_moves_to_a_new_key(settings, capsys):
    create_endpoint()
    settings.FIELD_KEYS = ["new:" + base64.b64encode(b"k" * 32).decode(), *settings.FIELD_KEYS]

    call_command("rotate_keys")

    assert "djstripe.WebhookEndpoint.secret: key=new done=1 failed=0" in capsys.readouterr().out
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]
    assert deliver(event_body()) == 200
