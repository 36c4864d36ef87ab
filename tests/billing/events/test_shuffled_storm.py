"""Thousands of Stripe's events in copies, shuffled, to eight workers at once: the same end as one by one in
order."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from billing.events.inbox import MAX_TRIES, process_event
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import (
    BookDifference,
    Card,
    ChargeAttempt,
    Dispute,
    Installment,
    Payment,
    Refund,
    StripeEvent,
)
from billing.stripe.event_types import EVENT_TYPES
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.staff.tasks import close_settled
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from orders.models import Order, OrderTransition
from tests.conftest import DATABASE
from tests.factories import create_order, create_staff
from tests.hosted_page import invoice_page
from tests.restored import other_database
from tests.shop import NO_MONEY, VISA, open_page, order_with_plan
from tests.stripe_events import deliver, work_off_inbox

WORKERS = 8
DISPUTED, REFUND_FAILS_LATER = "4000000000000259", "4000000000005126"


class Town:
    """Families whose money comes, is declined, goes back, is disputed, won and lost. No event is heard yet
    but those that the purchase of a plan needs."""

    def __init__(self, shop, rounds):
        self.shop = shop
        parts = [order_with_plan(shop) for _ in range(rounds)]
        for number, part in enumerate(parts):
            self._pay_in_parts(part, refunded_cents=500 if number % 2 else 0)
        for _ in range(rounds):
            self._pay_at_once()
        self._control("/_clock", advance=24 * 3600)  # the bank sends some refunds back

    def _pay_in_parts(self, part, *, refunded_cents):
        """The second part on the invoice's page; of some a refund that staff ask for here."""
        page = invoice_page(Installment.objects.get(pk=part.pk))
        self.shop.pay(page, NO_MONEY)
        self.shop.pay(page, VISA)
        if refunded_cents:
            payment = Payment.objects.get(order=part.order)
            refund = ask_for_refund(payment=payment, cents=refunded_cents, reason="x", by=create_staff())
            approve(refund=refund, by=create_staff())
            refund_waiting()

    def _pay_at_once(self):
        orders = plain, declined, refunded, won, lost, sent_back = [create_order() for _ in range(6)]
        cards = [VISA, VISA, VISA, DISPUTED, DISPUTED, REFUND_FAILS_LATER]
        for order, card in zip(orders, cards, strict=True):
            page = open_page(order)
            if order is declined:
                self.shop.pay(page, NO_MONEY)
            self.shop.pay(page, card)
        for order, cents in ((plain, 900), (refunded, 5000), (refunded, 9400), (sent_back, 1000)):
            self._control("/_refunds", payment_intent=self._charge(order)["payment_intent"], amount=cents)
        self._control("/_warnings", charge=self._charge(plain)["id"])
        for order, end in ((won, "won"), (lost, "lost")):
            for status in ("under_review", end):
                self._control(f"/_disputes/{self._dispute_of(order)}", status=status)

    def _control(self, path, **given):
        return self.shop.server.control("POST", path, given)

    def _charge(self, order):
        attempt = ChargeAttempt.objects.get(installment__order=order, installment__number=1)
        [charge] = [
            row
            for row in self.shop.server.books()["charges"]
            if row["succeeded"] and row["metadata"].get("attempt") == str(attempt.public_id)
        ]
        return charge

    def _dispute_of(self, order):
        intent = self._charge(order)["payment_intent"]
        disputes = self.shop.server.books()["disputes"]
        return next(row["id"] for row in disputes if row["payment_intent"] == intent)


def in_order(events):
    for event in events:
        assert deliver(event) == 200
        work_off_inbox()


def shuffled(events, *, copies, seed):
    """To WORKERS at once, each of which takes a delivery and handles whatever is due then."""
    bag = events * copies
    random.Random(seed).shuffle(bag)
    shares = [bag[number::WORKERS] for number in range(WORKERS)]

    def work(share):
        try:
            for event in share:
                assert deliver(event) == 200
                for row in StripeEvent.objects.filter(stripe_id=event["id"]):
                    process_event(row)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, shares))


def try_again():
    """What came before what it needs, or lost a race for its rows, has its next try."""
    for _ in range(MAX_TRIES):
        StripeEvent.objects.filter(status="received").update(next_try_at=timezone.now(), leased_until=None)
        work_off_inbox()


def rows(model, *names, since=None):
    """`since` is a column of which only counts whether it has a moment."""
    happened = {"has_happened": Q(**{f"{since}__isnull": False})} if since else {}
    found = model.objects.annotate(**happened).values_list(*names, *happened)
    return sorted(found, key=repr)


def state():
    """All that came of it: without the ids of rows that are new, and without times."""
    close_settled()
    return {
        "orders": rows(Order, "pk", "status", since="charges_paused_at"),
        "moves": rows(OrderTransition, "order", "from_status", "to_status"),
        "parts": rows(Installment, "pk", "status", since="held_at"),
        "attempts": rows(ChargeAttempt, "installment", "status", "decline_code"),
        "payments": rows(Payment, "order", "installment", "amount_cents", "stripe_payment_intent_id"),
        "refunds": rows(Refund, "order", "cause", "status", "amount_cents", "stripe_refund_id"),
        "disputes": rows(Dispute, "stripe_id", "payment__order", "status"),
        "places": rows(Enrollment, "pk", "status"),
        "cards": rows(Card, "household", "fingerprint", since="replaced_at"),
        "tasks": Counter(StaffTask.objects.open().values_list("kind", flat=True)),
        "emails": Counter(EmailMessage.objects.values_list("kind", "to")),
        "events": Counter(StripeEvent.objects.values_list("type", "status")),
        "differences": rows(BookDifference, "stripe_id"),
        # Nobody sends emails here, and on a busy machine they wait for as long as stuck ones.
        "violations": [found for found in violations() if found.number != "E4"],
    }


def differing(found, expected):
    """By what: the rows of only one of the two, how often in each."""
    pairs = {key: (counted(found[key]), counted(expected[key])) for key in expected}
    return {
        key: {row: (one[row], other[row]) for row in one | other if one[row] != other[row]}
        for key, (one, other) in pairs.items()
        if one != other
    }


def counted(rows):
    return rows if isinstance(rows, Counter) else Counter(map(repr, rows))


@pytest.mark.parametrize(
    ("rounds", "at_least", "copies", "seeds"),
    [
        pytest.param(4, 150, 4, range(1), id="short", marks=pytest.mark.drill),
        pytest.param(55, 2_000, 10, range(10), id="full", marks=pytest.mark.chaos),
    ],
)
def test_a_shuffled_storm_comes_to_the_same_end(committed_db, shop, rounds, at_least, copies, seeds):
    Town(shop, rounds)
    events = shop.events(*EVENT_TYPES)
    assert len(events) >= at_least

    with other_database(like=DATABASE):
        in_order(events)
        try_again()
        expected = state()
    others = {}
    for seed in seeds:
        with other_database(like=DATABASE):
            shuffled(events, copies=copies, seed=seed)
            try_again()
            others[seed] = differing(state(), expected)
    assert others == {seed: {} for seed in seeds}
    assert {status for _, status in expected["events"]} == {"processed"}
    assert {status for _, status, _ in expected["orders"]} == {"confirmed"}
    assert {row[2] for row in expected["disputes"]} == {"won", "lost"}
    assert (expected["differences"], expected["violations"]) == ([], [])
