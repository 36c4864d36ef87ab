"""dj-stripe's copies of what Stripe knows of people end when ours do, and nothing is charged worse for it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from djstripe.models import Account, APIKey, Customer, Event, PaymentIntent, WebhookEndpoint

from billing.models import Card, StripeEvent
from notifications.purge import forget_old_data
from tests.dumps import tables_that_hold
from tests.factories import create_order
from tests.shop import hear, open_page, order_with_plan

pytestmark = pytest.mark.django_db


def test_what_stripe_told_of_people_is_gone_when_it_is_said_to_be(shop):
    """docs/emails.md and the inbox: bodies go after 30 days."""
    order = create_order()
    shop.pay(open_page(order))
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    StripeEvent.objects.update(finished_at=timezone.now() - timedelta(days=400))
    forget_old_data(on=timezone.localdate())
    assert set(StripeEvent.objects.values_list("body", flat=True)) == {""}
    kept = [row.id for row in Event.objects.all() if row.data]
    assert not kept, f"dj-stripe keeps the same payloads in {len(kept)} rows of djstripe_event for ever"


def test_objects_go_too_and_events_that_wait_stay(shop):
    order = create_order()
    email = order.household.email
    shop.pay(open_page(order))
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    for model in (Customer, PaymentIntent):
        assert model.objects.exists()
    assert {name for name in tables_that_hold(email) if name.startswith("djstripe_")}

    counts = forget_old_data(on=timezone.localdate() + timedelta(days=31))

    assert counts["stripe_copies"] > 0
    assert counts["stripe_payloads"] == 2
    assert not {name for name in tables_that_hold(email) if name.startswith("djstripe_")}
    assert all(model.objects.exists() for model in (Account, APIKey, WebhookEndpoint))


def test_a_card_is_charged_and_a_late_event_processed_after_the_copies_are_gone(shop):
    part = order_with_plan(shop)
    forget_old_data(on=timezone.localdate() + timedelta(days=31))

    shop.pay(open_page(create_order(household=part.order.household)))
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")

    assert Card.objects.filter(household=part.order.household).exists()
    assert set(StripeEvent.objects.values_list("status", flat=True)) == {"processed"}
