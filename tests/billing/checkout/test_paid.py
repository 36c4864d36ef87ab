"""From a paid page to payment, seats and emails: signed webhook URL, inbox and dj-stripe's own processing."""

import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from billing.checkout.payment_page import NothingToPay
from billing.models import ChargeAttempt, Installment, Payment, StripeEvent
from billing.tasks import process_event
from csf.models import StaffTask
from notifications.models import EmailMessage
from tests.factories import create_course, create_order
from tests.shop import NO_MONEY, PAID, UNPAID, VISA, open_page, outcome
from tests.stripe_events import deliver, work_off_inbox


def test_paying_confirms_the_order_and_owes_each_email_once(shop):
    order = create_order(courses=[create_course(), create_course()])
    page = open_page(order)
    assert outcome(order) == UNPAID

    shop.pay(page)
    for event in shop.events("payment_intent.succeeded", "checkout.session.completed"):
        deliver(event)
    work_off_inbox()

    assert outcome(order) == PAID
    payment = Payment.objects.get()
    assert (payment.currency, payment.card_brand, payment.card_last4) == ("usd", "visa", "4242")
    assert [event.status for event in StripeEvent.objects.all()] == ["processed", "processed"]
    with pytest.raises(NothingToPay):
        open_page(order)


def test_the_same_event_ten_times(shop):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")

    for _ in range(10):
        assert deliver(event) == 200
        work_off_inbox()
        process_event(event["id"])

    assert outcome(order) == PAID


def test_the_same_event_eight_at_once(shop, committed_db):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")

    def arrive(_):
        try:
            status = deliver(event)
            process_event(event["id"])
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(arrive, range(8))) == [200] * 8

    assert outcome(order) == PAID


ALL_TYPES = (
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "checkout.session.completed",
)


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(range(3))))
def test_a_decline_then_success_in_any_order_of_events(shop, order_of_arrival):
    order = create_order(courses=[create_course(), create_course()])
    page = open_page(order)
    shop.pay(page, NO_MONEY)
    shop.pay(page, VISA)
    events = shop.events(*ALL_TYPES)
    assert [event["type"] for event in events] == list(ALL_TYPES)

    for index in order_of_arrival:
        deliver(events[index])
        work_off_inbox()

    assert outcome(order) == PAID


def test_a_decline_alone_leaves_the_seats_held_and_the_page_open(shop):
    order = create_order(courses=[create_course(), create_course()])
    page = open_page(order)
    shop.pay(page, NO_MONEY)
    [event] = shop.events("payment_intent.payment_failed")

    deliver(event)
    work_off_inbox()

    assert outcome(order) == UNPAID | {
        "attempts": ["declined"],
        "emails": {"order_confirmation": 1, "payment_failed": 1},
    }
    attempt = ChargeAttempt.objects.get()
    assert (attempt.decline_code, attempt.card_brand, attempt.card_last4) == (
        "insufficient_funds",
        "visa",
        "9995",
    )
    mail = EmailMessage.objects.get(kind="payment_failed")
    assert mail.context["reason"] == "The card did not have enough funds."
    assert mail.next_attempt_at - mail.created_at == timedelta(seconds=600)  # in case they pay meanwhile
    assert open_page(order) == page


def test_an_amount_that_was_not_agreed_goes_to_staff(shop):
    order = create_order(courses=[create_course(), create_course()])
    shop.pay(open_page(order))
    ChargeAttempt.objects.update(amount_cents=28799)
    [event] = shop.events("payment_intent.succeeded")

    deliver(event)
    work_off_inbox()

    assert outcome(order) == UNPAID | {
        "attempts": ["succeeded"],
        "installments": ["scheduled"],  # what is owed can be paid
        "payments": [(28800, False)],
        "tasks": ["unmatched_payment"],
        "emails": {"order_confirmation": 1, "payment_success": 1},
    }
    assert "received $288.00" in StaffTask.objects.get().detail
    assert "$287.99 was agreed" in StaffTask.objects.get().detail


def test_a_storm_of_events_shuffled_and_copied(shop, committed_db):
    course = create_course(capacity=12)
    orders = [create_order(courses=[course, create_course()]) for _ in range(6)]
    for number, order in enumerate(orders):
        page = open_page(order)
        if number % 2:
            shop.pay(page, NO_MONEY)
        shop.pay(page)
    storm = shop.events(*ALL_TYPES) * 3
    random.Random(7).shuffle(storm)

    def arrive(event):
        try:
            deliver(event)
            process_event(event["id"])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(arrive, storm))

    assert {order.pk: outcome(order) | {"emails": None} for order in orders} == {
        order.pk: PAID | {"emails": None} for order in orders
    }
    assert Counter(EmailMessage.objects.values_list("kind", flat=True)) == {
        "order_confirmation": 6,
        "payment_success": 6,
        "enrollment_confirmation": 12,
    }
    assert Installment.objects.filter(status="paid").count() == Payment.objects.count() == 6
