"""Refunds and disputes whose events are processed before their payment's, and money that names no row."""

import random
import uuid

import pytest
from django.urls import reverse

from billing.models import BookDifference, Dispute, Payment, Refund, StripeEvent
from billing.stripe import gateway
from billing.stripe.event_types import EVENT_TYPES
from csf.models import StaffTask
from csf.proofs.invariants import violations
from tests.billing.refunds import DISPUTED, REFUND_FAILS_LATER
from tests.factories import create_order, create_staff
from tests.shop import NO_MONEY, VISA, forget_rows, intent_of, open_page, order_with_plan
from tests.stripe_events import deliver, work_off_inbox

pytestmark = pytest.mark.django_db


def dashboard_refund(shop, order, cents):
    given = {"payment_intent": intent_of(shop, order), "amount": cents}
    return shop.server.control("POST", "/_refunds", given)


def hear_all(events):
    for event in events:
        assert deliver(event) == 200
    work_off_inbox()


def open_kinds():
    return sorted(StaffTask.objects.open().values_list("kind", flat=True))


def test_a_dispute_whose_event_is_faster_than_the_payments_is_not_forgotten(shop):
    """After an outage, events are processed by four workers at once, in any order."""
    order = create_order()
    shop.pay(open_page(order), DISPUTED)
    [opened] = shop.events("charge.dispute.created")

    hear_all([opened])

    order.refresh_from_db()
    assert (order.status, Payment.objects.count(), Dispute.objects.count()) == ("confirmed", 1, 1)
    assert order.charges_paused_at
    hear_all([*shop.events("payment_intent.succeeded"), opened])
    assert (Payment.objects.count(), Dispute.objects.count(), open_kinds()) == (1, 1, ["dispute"])


def test_a_refund_in_the_dashboard_that_is_reported_before_its_payment_is_booked(shop):
    order = create_order()
    shop.pay(open_page(order))
    dashboard_refund(shop, order, 14400)

    hear_all(shop.events("refund.created"))

    assert list(Refund.objects.values_list("status", "amount_cents")) == [("external", 14400)]
    hear_all(shop.events("payment_intent.succeeded", "refund.created"))
    assert (Payment.objects.count(), Refund.objects.count()) == (1, 1)


def test_a_refund_of_an_installment_brings_the_invoices_payment_with_it(shop):
    part = order_with_plan(shop)
    invoice = gateway.create_invoice(
        customer=part.order.household.stripe_customer.stripe_id,
        currency="usd",
        metadata={"installment": str(part.public_id)},
        key="inv",
    )
    customer = part.order.household.stripe_customer.stripe_id
    gateway.add_invoice_line(
        invoice["id"], customer=customer, amount_cents=part.amount_cents, currency="usd", text="x", key="ii"
    )
    gateway.finalize_invoice(invoice["id"], key="fin")
    card = part.order.household.cards.get()
    gateway.pay_invoice(invoice["id"], card=card.stripe_payment_method_id, key="pay")
    intent = gateway.intent_of_invoice(invoice["id"])
    shop.server.control("POST", "/_refunds", {"payment_intent": intent, "amount": 100})

    hear_all(shop.events("refund.created"))

    part.refresh_from_db()
    assert (part.status, Refund.objects.get().payment.installment) == ("paid", part)


def storm(shop):
    """Six families: money that comes, goes back, is disputed, won and lost."""
    orders = [create_order() for _ in range(6)]
    cards = [VISA] * 2 + [DISPUTED] * 3 + [REFUND_FAILS_LATER]
    for order, card in zip(orders, cards, strict=True):
        page = open_page(order)
        shop.pay(page, NO_MONEY)
        shop.pay(page, card)
    for order in [*orders[:2], orders[5]]:
        dashboard_refund(shop, order, 5000)
        dashboard_refund(shop, order, 900)
    disputes = {row["payment_intent"]: row["id"] for row in shop.server.books()["disputes"]}
    for order, end in zip(orders[2:4], ["won", "lost"], strict=True):
        shop.server.control("POST", f"/_disputes/{disputes[intent_of(shop, order)]}", {"status": end})
    shop.server.control(
        "POST", "/_clock", {"advance": 24 * 3600}
    )  # one family's refunds are sent back by the bank
    return orders


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(n, marks=pytest.mark.chaos) for n in range(3, 30))]
)
def test_events_in_any_order_come_to_the_same_end(shop, seed):
    """Seed 0 is Stripe's own order. Each event arrives one to three times, in one to five lots."""
    orders, dice = storm(shop), random.Random(seed)
    events = shop.events(*EVENT_TYPES)
    if seed:
        events = [event for event in events for _ in range(dice.randint(1, 3))]
        dice.shuffle(events)

    lot = -(-len(events) // (dice.randint(1, 5) if seed else 1))
    for start in range(0, len(events), lot):
        hear_all(events[start : start + lot])

    of = {order.pk: number for number, order in enumerate(orders)}
    assert sorted(of[row.order_id] for row in Payment.objects.all()) == list(range(6))
    went = [(of[row.order_id], row.cause, row.status, row.amount_cents) for row in Refund.objects.all()]
    back = [(n, "dashboard", "external", cents) for n in range(2) for cents in (900, 5000)]
    lost = [(3, "dispute", "external", 14400)]
    # Those that the bank sent back were never news to us if we first read them afterwards.
    assert sorted(row for row in went if row[2] != "failed") == sorted(back + lost)
    ends = {of[row.payment.order_id]: row.status for row in Dispute.objects.all()}
    assert ends == {2: "won", 3: "lost", 4: "needs_response"}
    assert set(StripeEvent.objects.values_list("status", flat=True)) == {"processed"}
    assert BookDifference.objects.count() == 0
    assert violations() == []


# --- Money that names no row --------------------------------------------------------------------------------


def test_money_for_an_order_that_the_backup_does_not_know_is_reported_to_staff(shop):
    order = create_order()
    shop.pay(open_page(order))
    forget_rows()

    hear_all(shop.events("payment_intent.succeeded"))
    hear_all(shop.events("payment_intent.succeeded"))

    difference, task = BookDifference.objects.get(), StaffTask.objects.get()
    assert (Payment.objects.count(), task.kind) == (0, "books_differ")
    assert (difference.ours, difference.theirs) == ("", "$144.00 succeeded")
    assert difference.household == order.household
    url = f"https://dashboard.stripe.com/test/payments/{difference.stripe_id}"
    assert (difference.url, "$144.00" in task.detail, url in task.detail) == (url, True, True)


def test_an_unknown_payments_refund_and_dispute_are_reported_too(shop):
    refunded, taken_back = create_order(), create_order()
    shop.pay(open_page(refunded))
    shop.pay(open_page(taken_back), DISPUTED)
    dashboard_refund(shop, refunded, 3000)
    forget_rows()

    events = shop.events("refund.created", "charge.dispute.created", "payment_intent.succeeded")
    hear_all(events[::-1])

    found = sorted(BookDifference.objects.values_list("subject", "theirs"))
    assert found == [
        ("dispute", "$144.00 needs_response"),
        ("payment", "$144.00 succeeded"),
        ("payment", "$144.00 succeeded"),
        ("refund", "$30.00 succeeded"),
    ]
    assert open_kinds() == ["books_differ"] * 4


def test_a_refund_whose_row_is_missing_is_booked_on_its_payment(shop):
    """It was asked for and made after the backup; its payment is in the backup."""
    order = create_order()
    shop.pay(open_page(order))
    hear_all(shop.events("payment_intent.succeeded"))
    shop.server.control(
        "POST",
        "/_refunds",
        {"payment_intent": intent_of(shop, order), "amount": 500, "metadata": {"refund": str(uuid.uuid4())}},
    )

    hear_all(shop.events("refund.created"))

    assert (Refund.objects.get().status, open_kinds()) == ("external", ["refund_external"])


@pytest.mark.parametrize("metadata", [{}, {"order": "7", "attempt": "1"}, {"shop": "merchandise"}])
def test_money_of_another_use_of_the_account_is_none_of_our_business(shop, metadata):
    """docs/decisions/0009: the school may sell T-shirts through the same account."""
    order = create_order()
    shop.pay(open_page(order), DISPUTED)
    [event] = shop.events("payment_intent.succeeded")
    table = shop.server.state.store.tables["payment_intent"]
    table[event["data"]["object"]["id"]]["metadata"] = metadata

    hear_all(shop.events("payment_intent.succeeded", "charge.dispute.created"))

    assert (Payment.objects.count(), BookDifference.objects.count(), open_kinds()) == (0, 0, [])


def test_staff_close_a_difference_with_a_reason(client, shop):
    order = create_order()
    shop.pay(open_page(order))
    forget_rows()
    hear_all(shop.events("payment_intent.succeeded"))
    difference = BookDifference.objects.get()
    client.force_login(create_staff())
    url = reverse("admin:billing_bookdifference_act", args=[difference.pk, "explain"])
    page = client.get(url)
    assert difference.stripe_id in page.text
    fingerprint = page.context["facts"].fingerprint

    assert "required" in client.post(url, {"fingerprint": fingerprint, "reason": " "}).text
    client.post(url, {"fingerprint": fingerprint, "reason": "refunded by hand"})

    difference.refresh_from_db()
    assert (difference.explanation, open_kinds()) == ("refunded by hand", [])
    hear_all([{**event, "id": "evt_again"} for event in shop.events("payment_intent.succeeded")])
    assert open_kinds() == []  # a person has seen it, and the figures are the same
