"""A shop on the Stripe stand-in: open a page, pay on it, post its events, look at all that came of it."""

import datetime
import uuid
from collections import Counter
from typing import Any

import requests
import stripe
import time_machine
from django.conf import settings
from django.utils import timezone

from billing.checkout.payment_page import payment_page
from billing.checkout.place_order import place_order
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.models import Card, ChargeAttempt, Installment, InstallmentStatus, PaymentPlan
from billing.stripe import gateway
from billing.stripe.webhook_endpoint import register_endpoint
from csf.models import StaffTask
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_cart
from tests.pages import parent_of
from tests.stripe_events import create_endpoint as accept_events
from tests.stripe_events import deliver, work_off_inbox

VISA, NO_MONEY = "4242424242424242", "4000000000009995"
DUE, RETRY = [InstallmentStatus.SCHEDULED], [InstallmentStatus.RETRY_WAIT]


class Shop:
    """The Stripe stand-in as these tests use it: events are taken from its list and posted by the test."""

    def __init__(self, server):
        self.server = server

    def pay(self, page, card=VISA):
        answer = requests.post(page, data={"card": card}, allow_redirects=False, timeout=60)
        assert answer.status_code == (402 if card == NO_MONEY else 303), answer.text
        return answer.headers.get("Location", "")

    def events(self, *types):
        """As Stripe would post them, oldest first; without types, all of them."""
        found: list[Any] = []
        more = True
        while more:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = requests.get(
                f"{self.server.url}/v1/events",
                params={"limit": 100} | after,
                headers={"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"},
                timeout=60,
            ).json()
            found += page["data"]
            more = page["has_more"]
        return [event for event in reversed(found) if not types or event["type"] in types]


def accept():
    """Take webhooks, with Stripe's account known as after `create_webhook_endpoint`."""
    accept_events()
    register_endpoint(identity=uuid.uuid4(), remote=False)


def open_page(order):
    return payment_page(order=order, by=order.household.lead, now=timezone.now())


def outcome(order):
    """All that this order's money did: rows, states and emails."""
    order.refresh_from_db()
    return {
        "order": order.status,
        "installments": [part.status for part in order.installments.all()],
        "attempts": [attempt.status for attempt in ChargeAttempt.objects.filter(installment__order=order)],
        "payments": [(row.amount_cents, row.installment_id is not None) for row in order.payments.all()],
        "seats": sorted(Enrollment.objects.filter(order_item__order=order).values_list("status", flat=True)),
        "tasks": sorted(StaffTask.objects.open().values_list("kind", flat=True)),
        "emails": Counter(EmailMessage.objects.values_list("kind", flat=True)),
    }


PAID = {
    "order": "confirmed",
    "installments": ["paid"],
    "attempts": ["succeeded"],
    "payments": [(28800, True)],
    "seats": ["active", "active"],
    "tasks": [],
    "emails": {"order_confirmation": 1, "payment_success": 1, "enrollment_confirmation": 2},
}
UNPAID = {
    "order": "placed",
    "installments": ["charging"],
    "attempts": ["waiting"],
    "payments": [],
    "seats": ["held", "held"],
    "tasks": [],
    "emails": {"order_confirmation": 1},
}


def hear(shop, *types):
    """Stripe posts its events of these types, and the worker works them off."""
    for event in shop.events(*types):
        assert deliver(event) == 200
    work_off_inbox()


def order_with_plan(shop, parts=2, household=None):
    """Confirmed, the first part paid, the card saved; returns the next installment."""
    plan, _ = PaymentPlan.objects.get_or_create(name=f"{parts} parts", parts=parts)
    order = create_cart(household=household)
    place_order(order=order, by=order.household.lead, now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    return order.installments.get(number=2)


def script(shop, installment, *outcomes):
    card = Card.objects.get(household=installment.order.household, replaced_at=None)
    shop.server.control("POST", f"/_cards/{card.stripe_payment_method_id}", {"next": list(outcomes)})


def change_card(shop, household, card="4000000000007726", **ticked):
    """As the family's first guardian, over the page of the account and Stripe's."""
    answer = parent_of(household).post("/account/card/", ticked)
    shop.pay(answer.url, card)
    hear(shop, "setup_intent.succeeded")


def charge():
    """What a worker does: all charges of saved cards that wait."""
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def money_moved(shop, installment):
    """Succeeded charges of its invoice, in Stripe's own books."""
    invoices = shop.server.books()["invoices"].get(str(installment.public_id), [])
    intents = {invoice["payment_intent"] for invoice in invoices}
    charges = [
        row for row in shop.server.books()["charges"] if row["payment_intent"] in intents and row["succeeded"]
    ]
    return [row["amount_cents"] for row in charges]


def card_of(installment):
    return Card.objects.get(household=installment.order.household, replaced_at=None)


def run_days(installment, days=30):
    """Both daily jobs at ten o'clock, for so many days from its due date on."""
    for n in range(days):
        day = installment.due_on + datetime.timedelta(days=n)
        with time_machine.travel(datetime.datetime.combine(day, datetime.time(15), datetime.UTC)):
            start_charges(DUE, on=day)
            start_charges(RETRY, on=day)
            # The database's clock stays, so the attempt's key would seem too old.
            ChargeAttempt.objects.filter(status="created").update(created_at=timezone.now())
            charge()


def at_stripe(shop, method, path, **data):
    """What somebody does in Stripe's dashboard."""
    headers = {"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"}
    answer = requests.request(method, f"{shop.server.url}{path}", data=data, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(message, param=None, code="resource_missing"):
    """Stripe's no to a request of ours."""
    return gateway.StripeRefused(stripe.InvalidRequestError(message, param, code=code))


def intent_of(shop, order):
    [event] = [
        event
        for event in shop.events("payment_intent.succeeded")
        if event["data"]["object"]["metadata"].get("order") == str(order.public_id)
    ]
    return event["data"]["object"]["id"]


def forget_rows():
    """As after a restore of an older backup: the metadata at Stripe names no row that is here."""
    for model in (ChargeAttempt, Installment, Order):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(public_id=uuid.uuid4())
