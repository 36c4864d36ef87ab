"""The check of Stripe's own events every minute: it finds those that no webhook delivered, and reports it."""

from datetime import timedelta

import pytest

from billing.events import webhook_health
from billing.events.reconcile import WEBHOOK_TAKES
from billing.models import StripeEvent
from billing.stripe import breaker, gateway
from csf import clock
from csf.models import Breaker, Instance
from tests.stripe_events import event_body

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def at_stripe(monkeypatch, *events):
    """What Stripe lists; returns the windows that were asked for."""
    windows = []

    def list_events(*, since, until, types, after=""):
        windows.append((since, until))
        wanted = [event for event in events if event["type"] in types]
        yield [row for row in wanted if since.timestamp() <= row["created"] <= until.timestamp()]

    monkeypatch.setattr(gateway, "list_events", list_events)
    return windows


def created(now, age):
    return int((now - age).timestamp())


def test_only_what_should_have_been_told_by_now_is_looked_for_and_counted(monkeypatch, settings):
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    now = clock.now()
    pushed = event_body(id="evt_pushed", created=created(now, 3 * MINUTE))
    silent = event_body(id="evt_silent", created=created(now, 3 * MINUTE))
    young = event_body(id="evt_young", created=created(now, MINUTE))
    windows = at_stripe(monkeypatch, pushed, silent, young)
    Instance.begin()
    Breaker.objects.create(name=breaker.NAME, failures=1)
    StripeEvent.objects.create(stripe_id="evt_pushed", type="x", livemode=False, body="{}")

    for _ in range(2):
        webhook_health.look(now=now)

    assert set(windows) == {(now - WEBHOOK_TAKES - 3 * MINUTE, now - WEBHOOK_TAKES)}
    assert [row.stripe_id for row in webhook_health.without_webhook(since=now - MINUTE)] == ["evt_silent"]
    assert StripeEvent.objects.count() == 2
    assert Breaker.objects.get(name=breaker.NAME).failures == 0


def test_in_quarantine_stripe_is_left_alone(monkeypatch, settings):
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    windows = at_stripe(monkeypatch)
    Instance.quarantine()

    webhook_health.look(now=clock.now())

    assert windows == []
