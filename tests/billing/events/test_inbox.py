"""Working off the inbox of Stripe's events: what is ignored, tried again, parked or given back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import Payment, StripeEvent
from billing.tasks import process_event
from csf.models import StaffTask
from tests.factories import create_course, create_order
from tests.shop import PAID, UNPAID, open_page, outcome
from tests.stripe_events import deliver, event_body, work_off_inbox


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"livemode": True}, "wrong livemode"),
        ({"account": "acct_other"}, "an event of another account"),
        ({"type": "customer.created"}, "a type that we do not handle"),
    ],
)
def test_what_is_not_ours_is_ignored_without_asking_stripe(shop, change, note):
    before = len(shop.server.books()["posts"])

    assert deliver(event_body(**change)) == 200
    work_off_inbox()

    event = StripeEvent.objects.get()
    assert (event.status, event.note) == ("ignored", note)
    assert len(shop.server.books()["posts"]) == before


def test_an_event_for_an_object_that_stripe_does_not_know_changes_nothing(shop):

    deliver(event_body(data={"object": {"id": "pi_gone", "object": "payment_intent"}}))
    work_off_inbox()

    assert StripeEvent.objects.get().status == "processed"
    assert not Payment.objects.exists()


def test_while_stripe_is_down_events_wait_and_lose_no_try(shop):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")
    shop.server.control("POST", "/_faults", [{"method": "GET", "path": "*", "kind": "error_before"}])

    deliver(event)
    work_off_inbox()

    waiting = StripeEvent.objects.get()
    assert (waiting.status, waiting.tries, waiting.leased_until) == ("received", 0, None)
    assert waiting.next_try_at > timezone.now()

    shop.server.control("DELETE", "/_faults")
    StripeEvent.objects.update(next_try_at=timezone.now())
    work_off_inbox()

    assert outcome(order) == PAID


def test_an_event_that_always_fails_is_parked_for_staff_after_eight_tries(shop, monkeypatch):
    order = create_order()
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")
    monkeypatch.setattr("billing.events.webhooks.settle_payment_intent", lambda intent: 1 / 0)
    waits, wait = [], StripeEvent.try_again_in
    monkeypatch.setattr(
        StripeEvent, "try_again_in", lambda row, delay, note: [waits.append(delay), wait(row, delay, note)]
    )
    deliver(event)

    for _ in range(9):
        StripeEvent.objects.filter(status="received").update(next_try_at=timezone.now())
        work_off_inbox()

    parked = StripeEvent.objects.get()
    assert (parked.status, parked.tries) == ("parked", 8)
    assert [delay / timedelta(minutes=1) for delay in waits] == [1, 2, 4, 8, 16, 32, 60]
    assert "ZeroDivisionError" in parked.note
    assert [task.kind for task in StaffTask.objects.all()] == ["event_parked"]


def test_a_worker_lost_while_it_handles_an_event_loses_nothing(shop, committed_db):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")
    deliver(event)
    stored = StripeEvent.objects.get()
    assert stored.claim()  # and then the worker dies

    process_event(event["id"])
    assert outcome(order) == UNPAID  # the lease still runs

    StripeEvent.objects.update(leased_until=timezone.now())
    work_off_inbox()
    assert outcome(order) == PAID
