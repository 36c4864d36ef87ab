"""Events about installments that come late, twice, in any order, or not at all: the end is the same."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.events.reconcile import pull_events
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, Installment, StripeEvent
from billing.stripe.event_types import EVENT_TYPES
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from orders.models import Order
from tests.hosted_page import invoice_page
from tests.shop import money_moved, order_with_plan, script
from tests.stripe_events import deliver, work_off_inbox

pytestmark = pytest.mark.django_db


def charge():
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def live(shop):
    """Five families and what the bank says to them, with no event heard but that of the first payment."""
    parts = {name: Installment.objects.get(pk=order_with_plan(shop).pk) for name in END}
    script(shop, parts["declined"], "insufficient_funds")
    script(shop, parts["on the page"], "expired_card", "ok")
    due_on = parts["paid"].due_on
    shop.pay(invoice_page(parts["by parent"]))
    for name in ("paid", "declined", "on the page", "no answer"):  # one by one: a fault strikes any
        Order.objects.exclude(pk=parts[name].order_id).update(charges_paused_at=timezone.now())
        Order.objects.filter(pk=parts[name].order_id).update(charges_paused_at=None)
        if name == "no answer":
            fault = {"path": "/v1/invoices/*/pay", "method": "POST", "kind": "drop_after"}
            shop.server.control("POST", "/_faults", [fault])
        start_charges(["scheduled"], on=due_on)
        charge()
    shop.server.control("DELETE", "/_faults")
    Order.objects.update(charges_paused_at=None)
    shop.pay(invoice_page(Installment.objects.get(pk=parts["on the page"].pk)))
    return parts


def end(shop, parts):
    """By family, with neither ids nor times."""
    story = {}
    for name, part in parts.items():
        part.refresh_from_db()
        mails = EmailMessage.objects.filter(context__order_number=part.order.number, context__number=2)
        story[name] = (
            part.status,
            [(attempt.kind, attempt.status) for attempt in part.attempts.order_by("number")],
            [(row.amount_cents, row.installment_id == part.pk) for row in part.order.payments.all()],
            money_moved(shop, part),
            Counter(mails.values_list("kind", flat=True)),
        )
    return story, sorted(StaffTask.objects.values_list("kind", flat=True))


FIRST, SECOND = (7200, False), (7200, True)
END = {
    "paid": ("paid", [("auto", "succeeded")], [FIRST, SECOND], [7200], {"payment_success": 1}),
    "declined": ("retry_wait", [("auto", "declined")], [FIRST], [], {"payment_failed": 1}),
    "on the page": (
        "paid",
        [("auto", "declined")],
        [FIRST, SECOND],
        [7200],
        {"payment_failed": 1, "payment_success": 1},
    ),
    "no answer": ("paid", [("auto", "succeeded")], [FIRST, SECOND], [7200], {"payment_success": 1}),
    "by parent": ("paid", [], [FIRST, SECOND], [7200], {"payment_success": 1}),
}


def hear_all(events):
    for event in events:
        assert deliver(event) == 200
    work_off_inbox()


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.chaos) for n in range(4, 60))]
)
def test_copies_in_any_order_come_to_the_same_end(shop, seed):
    """Seed 0 is Stripe's own order. Each event is heard one to three times, in one to four lots."""
    parts, dice = live(shop), random.Random(seed)
    events = shop.events(*EVENT_TYPES)
    if seed:
        events = [event for event in events for _ in range(dice.randint(1, 3))]
        dice.shuffle(events)

    lot = -(-len(events) // (dice.randint(1, 4) if seed else 1))
    for start in range(0, len(events), lot):
        hear_all(events[start : start + lot])
        if dice.random() < 0.5:  # between two lots the worker looks at what had no answer
            ChargeAttempt.objects.exclude(next_look_at=None).update(next_look_at=timezone.now())
            charge()

    assert end(shop, parts) == (END, [])
    assert violations() == []


def test_an_invoice_that_is_said_to_be_paid_five_times_is_one_payment(shop):
    parts = live(shop)
    copies = [event | {"id": f"{event['id']}x{n}"} for event in shop.events("invoice.paid") for n in range(5)]

    hear_all(copies)

    assert end(shop, parts) == (END, [])


def test_events_lost_for_days_are_healed_by_the_hourly_look(shop):
    parts = live(shop)
    assert end(shop, parts)[0]["by parent"][0] == "scheduled"
    StripeEvent.objects.all().delete()

    for _ in range(2):
        pull_events(since=timezone.now() - timedelta(days=3))
        work_off_inbox()

    assert end(shop, parts) == (END, [])
    assert violations() == []


def test_without_any_event_only_what_parents_paid_themselves_is_missing(shop):
    """Our own charges are settled by their answers, and by looking where there was none."""
    parts = live(shop)
    ChargeAttempt.objects.exclude(next_look_at=None).update(next_look_at=timezone.now())
    charge()

    story, tasks = end(shop, parts)

    assert tasks == []
    assert {name for name in END if story[name] != END[name]} == {"on the page", "by parent"}
