"""Ids of Stripe on two rows, its books that differ from ours, and its events that were left lying."""

import uuid
from datetime import timedelta

from billing.models import (
    BookDifference,
    Card,
    ChargeAttempt,
    ComparedDay,
    Dispute,
    Installment,
    Payment,
    Refund,
    StripeCustomer,
    StripeEvent,
)
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import StaffTask
from tests.planted.cards import agreement
from tests.planted.school import DAY, drop, order_of, payments_of, today, without_trigger


def one_id_on_two_rows(model, column, **others):
    """A plant: the id of the newest row stands on the one before it as well."""

    def plant():
        drop(model, column)
        newest, before = model.objects.order_by("-pk")[:2]
        value = f"id_{uuid.uuid4().hex}"
        rows = model.objects.filter(pk__in=[newest.pk, before.pk])
        if getattr(model, "IS_APPEND_ONLY", False):
            without_trigger(rows, **{column: value}, **others)
        else:
            rows.update(**{column: value}, **others)

    plant.__name__ = f"one_{column}_on_two_rows_of_{model.__name__}"
    return plant


def another_card():
    card = agreement().card
    Card.objects.create(household=card.household, stripe_payment_method_id="pm_other")
    one_id_on_two_rows(Card, "stripe_payment_method_id")()


def another_refund():
    made = Refund.objects.get()
    columns = {"amount_cents": 1, "currency": "usd", "method": "stripe", "cause": "dashboard", "reason": "-"}
    for _ in range(2):
        Refund.objects.create(
            order=order_of("Paid"), payment=payments_of("Paid")[0], status="external", **columns
        )
    assert made.stripe_refund_id
    one_id_on_two_rows(Refund, "stripe_refund_id")()


def another_dispute():
    found = Dispute.objects.get()
    drop(Dispute, "stripe_id")
    again = Dispute.objects.create(
        stripe_id=found.stripe_id,
        payment=found.payment,
        amount_cents=1,
        currency="usd",
        status="won",
        opened_at=Now(),
        closed_at=Now(),
    )
    StaffTask.open(MoneyTask.DISPUTE_DECIDED, again)


def books_differ():
    BookDifference.objects.create(subject="payment", stripe_id="pi_1", theirs="14400 usd")


def books_not_compared():
    ComparedDay.objects.create(day=today() - 2 * DAY, compared_at=Now() - timedelta(hours=30))


def event_parked_in_silence():
    StripeEvent.objects.filter(pk=StripeEvent.objects.earliest("pk").pk).update(status="parked")


def event_left_lying():
    StripeEvent.objects.filter(pk=StripeEvent.objects.earliest("pk").pk).update(
        status="received", received_at=Now() - 3 * DAY, finished_at=None
    )


PLANTS = {
    "M5 Stripe ids that several rows share": [
        one_id_on_two_rows(Installment, "stripe_invoice_id"),
        one_id_on_two_rows(ChargeAttempt, "stripe_session_id"),
        one_id_on_two_rows(ChargeAttempt, "stripe_charge_id"),
        one_id_on_two_rows(Payment, "stripe_payment_intent_id"),
        one_id_on_two_rows(Payment, "stripe_invoice_id"),
        one_id_on_two_rows(StripeCustomer, "stripe_id"),
        one_id_on_two_rows(StripeEvent, "stripe_id"),
        another_card,
        another_refund,
        another_dispute,
    ],
    "M16 differences between our books and Stripe's": [books_differ],
    "M16 books not compared with Stripe's for a day": [books_not_compared],
    "Y2 parked events without a staff task": [event_parked_in_silence],
    "Y2 events waiting for two days": [event_left_lying],
}
