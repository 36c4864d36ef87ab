"""A family's whole story, with every event that Stripe sends of it: late, early, twice, in any order, in old
versions. In the end the books are the same, and so is what staff are asked."""

import random
from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from billing.checkout.payment_page import close_page
from billing.checkout.place_order import place_order
from billing.events.stripe_books import compare_day
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import (
    BookDifference,
    Card,
    ChargeAttempt,
    Dispute,
    Installment,
    Payment,
    PaymentPlan,
    Refund,
    StripeEvent,
)
from billing.stripe.event_types import EVENT_TYPES
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.staff.tasks import close_settled
from notifications.models import EmailMessage
from tests.factories import create_cart, create_staff
from tests.hosted_page import invoice_page
from tests.shop import NO_MONEY, at_stripe, card_of, open_page, run_days, script
from tests.stripe_events import deliver, work_off_inbox

pytestmark = pytest.mark.django_db
REFUND_FAILS_LATER = "4000000000005126"
PARTS = 4


class Story:
    """Purchase of a plan, an installment declined and paid, one paid by the parent, refunds, a fraud warning,
    a dispute, and an invoice that staff void in Stripe's dashboard.

    What we do ourselves goes by Stripe's answers, so that no step needs an event before it.
    """

    def __init__(self, shop):
        self.shop = shop
        plan = PaymentPlan.objects.create(name="parts", parts=PARTS, interval="weekly")
        self.order = create_cart()
        place_order(order=self.order, by=self.order.household.lead, now=timezone.now(), plan=plan)

    @property
    def steps(self):
        return [
            *(self.purchase, self.installment, self.paid_by_the_parent, self.renewed_card),
            *(self.refund, self.refund_by_hand, self.warning, self.inquiry, self.dispute),
            *(self.void_by_hand, self.days_later, self.bank_decides),
        ]

    def part(self, number):
        return Installment.objects.select_related("order__household").get(order=self.order, number=number)

    def purchase(self):
        page = open_page(self.order)
        self.shop.pay(page, NO_MONEY)
        self.shop.pay(page, REFUND_FAILS_LATER)
        close_page(ChargeAttempt.objects.get())

    def installment(self):
        script(self.shop, self.part(2), "insufficient_funds", "ok")
        run_days(self.part(2), days=4)

    def paid_by_the_parent(self):
        self.shop.pay(invoice_page(self.part(3)))

    def renewed_card(self):
        card = card_of(self.part(2))
        path = f"/_cards/{card.stripe_payment_method_id}/update"
        self.shop.server.control("POST", path, {"exp_month": 1, "exp_year": 2041})

    def refund(self):
        """Asked for and approved here; the bank sends it back a day later."""
        payment = Payment.objects.get(installment__number=1)
        refund = ask_for_refund(payment=payment, cents=700, reason="x", by=create_staff())
        approve(refund=refund, by=create_staff())
        refund_waiting()

    def refund_by_hand(self):
        self.shop.server.control("POST", "/_refunds", {"charge": self.charges[3], "amount": 500})

    def warning(self):
        self.shop.server.control("POST", "/_warnings", {"charge": self.charges[2]})

    def inquiry(self):
        given = {"charge": self.charges[2], "status": "warning_needs_response"}
        self.dispute_id = self.shop.server.control("POST", "/_disputes", given)["id"]

    def dispute(self):
        for status in ("needs_response", "under_review"):
            self.shop.server.control("POST", f"/_disputes/{self.dispute_id}", {"status": status})

    def void_by_hand(self):
        invoice_page(self.part(4))
        at_stripe(self.shop, "POST", f"/v1/invoices/{self.part(4).stripe_invoice_id}/void")

    def days_later(self):
        self.shop.server.control("POST", "/_clock", {"advance": 24 * 3600})

    def bank_decides(self):
        end = {"status": "lost", "reinstated": 600}
        self.shop.server.control("POST", f"/_disputes/{self.dispute_id}", end)

    @property
    def charges(self):
        """By the number of the part that each paid."""
        paid = [row for row in self.shop.server.books()["charges"] if row["succeeded"]]
        return dict(enumerate((row["id"] for row in paid), start=1))


def in_old_shape(event):
    """As an account on a version of 2024 has it in its list of events: fields that have gone since, and older
    facts."""
    thing = {
        **event["data"]["object"],
        "charges": {"object": "list", "data": []},
        "invoice": None,
        "paid": False,
    }
    for name in ("balance_transactions", "payment_settings", "status"):
        thing.pop(name, None)
    return {**event, "api_version": "2024-06-20", "data": {"object": thing}}


class Post:
    """Brings what Stripe has to tell: after each step some of it, the rest in the end, days late."""

    def __init__(self, shop, dice):
        self.shop, self.dice, self.seen, self.bag = shop, dice, set(), []

    def bring_some(self):
        new = [event for event in self.shop.events() if event["id"] not in self.seen]
        self.seen |= {event["id"] for event in new}
        for event in new:
            shaped = in_old_shape(event) if self.dice.random() < 0.3 else event
            self.bag += [shaped] * self.dice.randint(1, 3)
        self.dice.shuffle(self.bag)
        share = self.dice.choice([0, 0, len(self.bag) // 3, len(self.bag)])
        now, self.bag = self.bag[:share], self.bag[share:]
        hear(now)

    def bring_the_rest(self):
        with time_machine.travel(timezone.now() + timedelta(days=3)):
            lot = len(self.bag) // 3 + 1
            for start in range(0, len(self.bag), lot):
                hear(self.bag[start : start + lot])


def hear(events):
    for event in events:
        assert deliver(event) == 200
    work_off_inbox()


def end(order):
    """What the story has come to, with neither ids nor times."""
    order.refresh_from_db()
    close_settled()
    [card] = Card.objects.all()
    [dispute] = Dispute.objects.all()
    told = Counter(EmailMessage.objects.values_list("kind", flat=True))
    return {
        "order": (order.status, order.charges_paused_at is not None),
        "parts": [(part.status, part.held_at is not None) for part in order.installments.order_by("number")],
        "attempts": [row.status for row in ChargeAttempt.objects.order_by("installment__number", "number")],
        "payments": sorted(Payment.objects.values_list("installment__number", "amount_cents")),
        "refunds": sorted(Refund.objects.values_list("cause", "status", "amount_cents")),
        "dispute": (dispute.status, dispute.payment.installment.number),
        "card": card.exp_year,
        "tasks": sorted(StaffTask.objects.open().values_list("kind", flat=True)),
        "emails": {kind: told[kind] for kind in END["emails"]},
    }


END = {
    "order": ("confirmed", True),
    "parts": [("paid", False), ("paid", False), ("paid", False), ("scheduled", True)],
    "attempts": ["succeeded", "declined", "succeeded"],
    "payments": [(1, 3600), (2, 3600), (3, 3600)],
    "refunds": [("dashboard", "external", 500), ("dispute", "external", 3000), ("staff", "failed", 700)],
    "dispute": ("lost", 2),
    "card": 2041,
    "tasks": ["dispute_decided", "invoice_ended", "refund_external", "refund_failed"],
    "emails": {"order_confirmation": 1, "enrollment_confirmation": 1, "payment_success": 3},
}


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(n, marks=pytest.mark.chaos) for n in range(3, 60))]
)
def test_every_order_of_events_comes_to_the_same_end(shop, seed):
    story, post = Story(shop), Post(shop, random.Random(seed))
    for step in story.steps:
        step()
        post.bring_some()
    post.bring_the_rest()

    assert end(story.order) == END
    statuses = dict(StripeEvent.objects.values_list("type", "status").distinct())
    assert {type_ for type_, status in statuses.items() if status == "processed"} <= set(EVENT_TYPES)
    assert set(statuses.values()) == {"processed", "ignored"}
    compare_day(timezone.now().date())
    # The charges are made weeks ahead and the dispute that stops them today.
    wrong = [str(found) for found in violations() if found.broken != "charges begun after they were stopped"]
    assert (BookDifference.objects.count(), wrong) == (0, [])
