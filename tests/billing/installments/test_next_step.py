"""The one answer to "what happens to this installment next", as a table, and its twin in SQL."""

import datetime
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.installments.next_step import (
    CHANGING,
    DECLINED_OFTEN,
    HELD,
    NOT_AGREED,
    PAUSED,
    TOO_LATE,
    Step,
    charge_day_of_new_card,
    next_step,
    waits_for_staff,
)
from billing.models import Card, Installment, InstallmentStatus
from billing.models.cards import CARD_EXPIRED, CARD_REFUSED, NO_CARD
from orders.models import Order, OrderStatus
from tests.factories import create_order

ON = datetime.date(2026, 9, 10)
NOW = timezone.now()
GOOD = {"exp_year": 2030, "exp_month": 1}
AGREED = {"consent_id": 1}
LATER = ON + timedelta(days=5)


def installment(order_status="confirmed", paused_at=None, **columns):
    order = Order(status=order_status, charges_paused_at=paused_at)
    given = {"number": 2, "due_on": ON, "amount_cents": 100, "status": "scheduled"} | AGREED | columns
    return Installment(order=order, **given)


CASES = {
    "due today": ({}, {}, (Step.CHARGE, ON, "")),
    "due later": ({"due_on": LATER}, {}, (Step.CHARGE, LATER, "")),
    "missed for a day": ({"due_on": ON - timedelta(days=1)}, {}, (Step.CHARGE, ON, "")),
    "missed for four": ({"due_on": ON - timedelta(days=4)}, {}, (Step.STAFF, ON, TOO_LATE)),
    "tried again later": ({"status": "retry_wait", "next_try_on": LATER}, {}, (Step.CHARGE, LATER, "")),
    "held": ({"held_at": NOW}, {}, (Step.WAIT, ON, HELD)),
    "paused": ({"paused_at": NOW}, {}, (Step.WAIT, ON, PAUSED)),
    "held comes before late": (
        {"held_at": NOW, "due_on": ON - timedelta(days=9)},
        {},
        (Step.WAIT, ON, HELD),
    ),
    "being changed": ({"consent_id": None}, {"is_being_changed": True}, (Step.WAIT, ON, CHANGING)),
    "not agreed": ({"consent_id": None}, {}, (Step.FAMILY, ON, NOT_AGREED)),
    "no card": ({}, {"card": None}, (Step.FAMILY, ON, NO_CARD)),
    "late without a card": ({"due_on": ON - timedelta(days=9)}, {"card": None}, (Step.STAFF, ON, TOO_LATE)),
    "card expired by then": (
        {"due_on": datetime.date(2030, 2, 1)},
        {},
        (Step.FAMILY, datetime.date(2030, 2, 1), CARD_EXPIRED),
    ),
    "card refused": ({}, {"card": Card(refused_at=NOW)}, (Step.FAMILY, ON, CARD_REFUSED)),
    "two declines today": ({}, {"declines_today": 2}, (Step.CHARGE, ON, "")),
    "three declines today": ({}, {"declines_today": 3}, (Step.WAIT, ON, DECLINED_OFTEN)),
    "waits for a card": ({"status": "needs_card"}, {}, (Step.FAMILY, None, "")),
    "waits for the bank": ({"status": "needs_auth"}, {}, (Step.FAMILY, None, "")),
    "tried in vain": ({"status": "exhausted"}, {}, (Step.STAFF, None, "")),
    "charged": ({"status": "charging"}, {}, (Step.BEING_PAID, None, "")),
    "charged, paused since": ({"status": "charging", "paused_at": NOW}, {}, (Step.BEING_PAID, None, PAUSED)),
    "page is open": ({"status": "charging"}, {"has_page": True}, (Step.ON_PAGE, None, "")),
    "first of an unpaid order": ({"order_status": "placed", "number": 1}, {}, (Step.WITH_ORDER, None, "")),
    "later of an unpaid order": ({"order_status": "placed"}, {}, (Step.AFTER_FIRST, None, "")),
    "order expired": ({"order_status": "expired"}, {}, (Step.OVER, None, "")),
    "paid": ({"status": "paid"}, {}, (Step.OVER, None, "")),
    "waived": ({"status": "waived", "order_status": "placed"}, {}, (Step.OVER, None, "")),
}


@pytest.mark.parametrize(("columns", "facts", "expected"), CASES.values(), ids=CASES)
def test_next_step(columns, facts, expected):
    step = next_step(installment(**columns), on=ON, **{"card": Card(**GOOD)} | facts)

    assert (step.kind, step.on, step.reason) == expected


def test_what_is_late_says_also_what_is_wrong_with_its_card():
    step = next_step(installment(due_on=ON - timedelta(days=9)), card=None, on=ON)

    assert (step.reason, step.card_problem) == (TOO_LATE, NO_CARD)


def test_the_family_can_pay_whatever_waits_for_a_person():
    can_pay = {
        name
        for name, (columns, facts, _) in CASES.items()
        if next_step(installment(**columns), on=ON, **{"card": Card(**GOOD)} | facts).can_be_paid
    }

    assert set(CASES) - can_pay == {
        "charged",
        "charged, paused since",
        "first of an unpaid order",
        "later of an unpaid order",
        "order expired",
        "paid",
        "waived",
    }


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"due_on": LATER}, LATER),
        ({"due_on": ON - timedelta(days=4)}, None),
        ({"status": "retry_wait", "next_try_on": LATER}, LATER),
        ({"status": "needs_card", "due_on": ON - timedelta(days=4)}, ON + timedelta(days=1)),
        ({"status": "exhausted", "due_on": LATER}, LATER),
        ({"status": "needs_auth"}, None),
        ({"held_at": NOW}, None),
        ({"consent_id": None}, None),
    ],
)
def test_charge_day_of_a_new_card(columns, expected):
    assert charge_day_of_new_card(installment(**columns), on=ON) == expected


@pytest.mark.django_db
def test_the_list_for_staff_is_what_next_step_leaves_to_them_but_for_one_case():
    order = create_order()
    part = order.installments.get()
    left = {}
    statuses = [InstallmentStatus.SCHEDULED, InstallmentStatus.NEEDS_CARD, InstallmentStatus.EXHAUSTED]

    for order_status in [OrderStatus.PLACED, OrderStatus.CONFIRMED]:
        Order.objects.filter(pk=order.pk).update(status=order_status)
        for status in statuses:
            for late_days in [0, 3, 4]:
                rows = Installment.objects.filter(pk=part.pk)
                rows.update(status=status, due_on=ON - timedelta(days=late_days))
                step = next_step(rows.select_related("order").get(), card=None, on=ON)
                is_listed = rows.filter(waits_for_staff(ON)).exists()
                left[order_status, status, late_days] = (step.kind == Step.STAFF, is_listed)

    unagreed = {case for case, (by_step, by_list) in left.items() if by_step != by_list}
    assert unagreed == {("confirmed", "scheduled", 4)}  # nobody agreed to it: the family pays it itself
    assert sum(by_list for _, by_list in left.values()) == 4
