"""A class of many families that does not take place, and the worker that tells them."""

import itertools
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from billing.changes.class_closure import (
    close_class,
    close_session,
    preview_class,
    preview_session,
    process_closures,
)
from billing.models import (
    Card,
    ChargeAttempt,
    Installment,
    Payment,
    Terms,
)
from enrollments.models import Child, Enrollment, Household, User
from notifications.models import EmailMessage
from orders.models import Order, OrderItem
from tests.billing.crash_steps import Killed, Steps
from tests.factories import create_staff

PRICE = 14_400
FULL, HALF, INVOICE, IN_FLIGHT, HELD, GONE = range(6)


_numbers = itertools.count(1)


def bulk_families(course, states):
    """One child each, in the state that is asked for; by bulk inserts."""
    now, count = timezone.now(), len(states)
    tag = next(_numbers)
    homes = Household.objects.bulk_create(Household(name=f"Family {tag}-{n}") for n in range(count))
    parents = User.objects.bulk_create(
        User(email=f"f{tag}-{n}@example.org", household=home, first_name="Pat")
        for n, home in enumerate(homes)
    )
    children = Child.objects.bulk_create(
        Child(household=home, first_name=f"Kim{n}", last_name="Garcia", born_on="2018-03-01")
        for n, home in enumerate(homes)
    )
    statuses = {HELD: "held", GONE: "cancelled"}
    places = Enrollment.objects.bulk_create(
        Enrollment(
            child=child,
            course=course,
            status=statuses.get(state, "active"),
            seat_number=None if state == GONE else n + 1,
            expires_at=now + timedelta(minutes=30) if state == HELD else None,
        )
        for n, (child, state) in enumerate(zip(children, states, strict=True))
    )
    orders = Order.objects.bulk_create(
        Order(
            household=home,
            status="placed" if state == HELD else "confirmed",
            currency="usd",
            total_cents=PRICE,
            placed_at=now,
            placed_by=parent,
            held_until=now + timedelta(minutes=30),
        )
        for home, parent, state in zip(homes, parents, states, strict=True)
    )
    OrderItem.objects.bulk_create(
        OrderItem(
            order=order, child=place.child, course=course, enrollment=place, list_cents=PRICE, net_cents=PRICE
        )
        for order, place in zip(orders, places, strict=True)
    )
    parts, attempts = [], []
    for order, state in zip(orders, states, strict=True):
        whole = state in {FULL, HELD, GONE}
        parts.append(
            Installment(
                order=order,
                number=1,
                due_on=now.date(),
                amount_cents=PRICE if whole else PRICE // 2,
                status="charging" if state == HELD else "paid",
            )
        )
        if not whole:
            second = Installment(
                order=order,
                number=2,
                due_on=now.date() + timedelta(days=30),
                amount_cents=PRICE // 2,
                status="charging" if state == IN_FLIGHT else "scheduled",
                stripe_invoice_id=f"in_{tag}_{order.pk}" if state == INVOICE else None,
            )
            parts.append(second)
            if state == IN_FLIGHT:
                attempts.append(second)
    parts = Installment.objects.bulk_create(parts)
    Payment.objects.bulk_create(
        Payment(
            order=part.order,
            installment=part,
            amount_cents=part.amount_cents,
            currency="usd",
            stripe_payment_intent_id=f"pi_{tag}_{part.pk}",
            received_at=now,
        )
        for part in parts
        if part.status == "paid"
    )
    for part in attempts:
        card = Card.objects.create(
            household=part.order.household,
            stripe_payment_method_id=f"pm_{part.pk}",
            brand="visa",
            last4="4242",
            exp_month=1,
            exp_year=2040,
        )
        ChargeAttempt.objects.create(
            installment=part,
            number=1,
            kind="auto",
            card=card,
            amount_cents=part.amount_cents,
            currency="usd",
            status="sending",
        )
    return places


def close(course, terms=Terms.REFUND, by=None, reason="the hall has burnt down"):
    now = timezone.now()
    fingerprint = preview_class(course=course, terms=terms, now=now).fingerprint
    return close_class(
        course=course, terms=terms, by=by or create_staff(), reason=reason, now=now, fingerprint=fingerprint
    )


def close_one(session, by=None):
    fingerprint = preview_session(session=session).fingerprint
    return close_session(
        session=session,
        by=by or create_staff(),
        reason="the coach is ill",
        now=timezone.now(),
        fingerprint=fingerprint,
    )


def work():
    return process_closures(now=timezone.now())


def dies(at):
    """A worker is killed at that commit or request; gives how many steps it began."""
    steps = Steps(at)
    with suppress(Killed), steps.watched():
        work()
    connection.close()  # as of a process that is gone, with its lock
    return len(steps.names)


def emails(kind):
    return Counter(EmailMessage.objects.filter(kind=kind).values_list("to", flat=True))
