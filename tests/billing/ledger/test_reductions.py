"""What an amount that is no longer owed changes: installments cut from the last, money and credit back."""

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.ledger.reductions import apply_reduction, kept_cents, plan_reduction, refundable
from billing.models import Credit, Installment, InstallmentStatus, Payment, Refund, RefundStatus
from tests.factories import create_order

PAID, OPEN = "paid", "scheduled"
CASES = {
    "cut from the last": ([(100, PAID), (100, OPEN), (100, OPEN)], 100, False, [(3, 0)], [], 0),
    "a smaller one is left": ([(100, PAID), (100, OPEN), (100, OPEN)], 130, False, [(3, 0), (2, 70)], [], 0),
    "too little for Stripe is let go": ([(100, PAID), (100, OPEN)], 60, False, [(2, 0)], [], 0),
    "first what is open, then what was paid": ([(100, PAID), (100, OPEN)], 150, False, [(2, 0)], [50], 0),
    "from the newest payment": ([(100, PAID), (100, PAID)], 130, False, [], [100, 30], 0),
    "as credit": ([(100, PAID), (100, OPEN)], 150, True, [(2, 0)], [], 50),
    "not more than was paid": ([(100, PAID)], 300, False, [], [100], 0),
    "what was waived does not come back": ([(100, PAID), (100, "waived")], 150, False, [], [50], 0),
    "what is being charged is left alone": ([(100, PAID), (100, "charging")], 150, False, [], [100], 0),
    "nothing": ([(100, PAID), (100, OPEN)], 0, False, [], [], 0),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_cut_and_what_goes_back(db, name):
    parts, cents, as_credit, cuts, refunds, credit = CASES[name]
    order = _order_in_any_state(parts, [], [], 0)

    found = plan_reduction(order, cents, as_credit=as_credit)

    assert [(cut.installment.number, cut.left_cents) for cut in found.cuts] == cuts
    assert ([back for _, back in found.refunds], found.credit_cents) == (refunds, credit)


def test_money_paid_with_credit_comes_back_as_credit(db):
    order = _order_in_any_state([(60, "paid")], [], [], spent=40)

    found = plan_reduction(order, 100, as_credit=False)

    assert (found.refund_cents, found.credit_cents) == (60, 40)


STATES = [
    InstallmentStatus.SCHEDULED,
    InstallmentStatus.NEEDS_CARD,
    InstallmentStatus.EXHAUSTED,
    InstallmentStatus.PAID,
    InstallmentStatus.WAIVED,
    InstallmentStatus.CANCELLED,
]


part_of_a_plan = st.tuples(st.integers(50, 40_000), st.sampled_from(STATES))


@given(
    parts=st.lists(part_of_a_plan, max_size=6),
    late=st.lists(st.integers(50, 20_000), max_size=2),
    backs=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 100), st.sampled_from(RefundStatus.values))),
    spent=st.integers(0, 30_000),
    reductions=st.lists(st.tuples(st.integers(0, 120_000), st.booleans()), min_size=1, max_size=3),
)
@settings(max_examples=60)
def test_never_more_back_than_was_paid_and_no_cent_lost(db, parts, late, backs, spent, reductions):
    with transaction.atomic():
        order = _order_in_any_state(parts, late, backs, spent)
        for cents, as_credit in reductions:
            _relieve_and_check(order, cents, as_credit=as_credit)
        transaction.set_rollback(True)


def _order_in_any_state(parts, late, backs, spent):
    order = create_order()
    order.installments.all().delete()
    rows = [
        Installment(
            order=order, number=number, due_on=timezone.localdate(), amount_cents=cents, status=status
        )
        for number, (cents, status) in enumerate(parts, start=1)
    ]
    Installment.objects.bulk_create(rows)
    money = [(row.amount_cents, row) for row in rows if row.status == "paid"] + [(row, None) for row in late]
    payments = [
        Payment.objects.create(
            order=order,
            installment=part,
            amount_cents=cents,
            currency="usd",
            stripe_payment_intent_id=f"pi_{number}",
            received_at=timezone.now(),
        )
        for number, (cents, part) in enumerate(money)
    ]
    for number, percent, status in backs:
        if number < len(payments):
            _refund(payments[number], payments[number].amount_cents * percent // 100, status)
    if spent:
        Credit.objects.create(household=order.household, amount_cents=-spent, cause="spent", order=order)
    return order


def _refund(payment, cents, status):
    rooms = dict(refundable(payment.order))
    if 0 < cents <= rooms.get(payment, 0):
        Refund.objects.create(
            order=payment.order,
            payment=payment,
            amount_cents=cents,
            currency="usd",
            method="stripe",
            cause="staff",
            status=status,
        )


def _relieve_and_check(order, cents, *, as_credit):
    kept, rooms = kept_cents(order), dict(refundable(order))
    open_before = {part.pk: part.amount_cents for part in order.installments.open()}

    found = plan_reduction(order, cents, as_credit=as_credit)

    given_up = max(found.stopped_cents - cents, 0)  # a rest below Stripe's least amount is let go
    assert given_up < 50
    assert found.stopped_cents + found.refund_cents + found.credit_cents <= cents + given_up
    assert found.refund_cents + found.credit_cents <= kept
    assert all(0 < part <= rooms[payment] for payment, part in found.refunds)
    assert all(0 <= stop.left_cents < stop.installment.amount_cents for stop in found.cuts)
    assert all(stop.left_cents == 0 or stop.left_cents >= 50 for stop in found.cuts)
    assert not (as_credit and found.refunds)
    if found.refund_cents or found.credit_cents:  # first all that is open, then what was paid
        assert found.stopped_cents == sum(open_before.values())

    apply_reduction(order, found, by=None, reason="a test")
    for payment, part in found.refunds:
        _refund(payment, part, "requested")
    if found.credit_cents:
        Credit.objects.create(
            household=order.household, amount_cents=found.credit_cents, cause="cancellation", order=order
        )
    assert kept_cents(order) == kept - found.refund_cents - found.credit_cents
    still_open = sum(part.amount_cents for part in order.installments.open())
    assert still_open == sum(open_before.values()) - found.stopped_cents
