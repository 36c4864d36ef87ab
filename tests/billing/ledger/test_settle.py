"""Money that Stripe reports, and every state in which it finds its order: matched, sent back, or a task."""

import itertools
import random
import uuid

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.checkout.holds import end_unpaid_order
from billing.ledger.settle import settle_checkout_session, settle_invoice, settle_payment_intent
from billing.models import BookDifference, ChargeAttempt, Installment, Payment, Refund
from csf.models import StaffTask
from tests.factories import create_card, create_consent, create_course, create_order

CENTS = 14_400
_numbers = itertools.count(1)


def paying():
    """An order whose payment page is open."""
    order = create_order(courses=[create_course(capacity=1)])
    part = order.installments.get()
    Installment.objects.filter(pk=part.pk).update(status="charging")
    ChargeAttempt.objects.create(
        installment=part, number=1, kind="checkout", status="waiting", amount_cents=CENTS, currency="usd"
    )
    return order


def report(order, status="succeeded", cents=CENTS, currency="usd", **fields):
    """A PaymentIntent of its page."""
    attempt = ChargeAttempt.objects.get(installment__order=order)
    return {
        "id": f"pi_{order.pk}",
        "status": status,
        "created": int(timezone.now().timestamp()),
        "amount_received": cents if status == "succeeded" else 0,
        "currency": currency,
        "metadata": {"attempt": str(attempt.public_id)},
    } | fields


def end(order, to):
    ChargeAttempt.objects.filter(installment__order=order).update(status="not_executed")
    Installment.objects.filter(order=order).update(status="scheduled")
    end_unpaid_order(order=order, to=to, reason="a test")


def expired_and_sold(order):
    end(order, "expired")
    create_order(courses=[order.items.get().enrollment.course])


def pay_at_the_desk(order):
    part = order.installments.get()
    Installment.objects.filter(pk=part.pk).update(status="paid")
    Payment.objects.create(
        order=order,
        installment=part,
        amount_cents=CENTS,
        currency="usd",
        method="cash",
        received_at=timezone.now(),
    )
    order.confirm(reason="paid")


def outcome(order, stripe_id):
    """Order, installments, attempts, what was paid by this report (matched or not), goes back, and is asked
    of staff."""
    order.refresh_from_db()
    return (
        order.status,
        [part.status for part in order.installments.order_by("number")],
        [row.status for row in ChargeAttempt.objects.filter(installment__order=order)],
        [
            (row.amount_cents, row.installment_id is not None)
            for row in order.payments.all()
            if stripe_id in (row.stripe_payment_intent_id, row.stripe_invoice_id)
        ],
        list(Refund.objects.filter(order=order).values_list("amount_cents", "cause", "status")),
        sorted(StaffTask.objects.open().values_list("kind", flat=True)),
    )


BACK = ([(CENTS, "unmatched", "approved")], ["refund_by_system"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "money", "expected"),
    [
        (None, {}, ("confirmed", ["paid"], ["succeeded"], [(CENTS, True)], [], [])),
        (
            None,
            {"cents": CENTS - 1},
            ("placed", ["scheduled"], ["succeeded"], [(CENTS - 1, False)], [], ["unmatched_payment"]),
        ),
        (
            None,
            {"currency": "eur"},
            ("placed", ["scheduled"], ["succeeded"], [(CENTS, False)], [], ["unmatched_payment"]),
        ),
        (pay_at_the_desk, {}, ("confirmed", ["paid"], ["succeeded"], [(CENTS, False)], *BACK)),
        (
            lambda order: end(order, "cancelled"),
            {},
            ("cancelled", ["cancelled"], ["succeeded"], [(CENTS, False)], *BACK),
        ),
        (
            lambda order: end(order, "expired"),
            {},
            ("confirmed", ["paid"], ["succeeded"], [(CENTS, True)], [], []),
        ),
        (expired_and_sold, {}, ("expired", ["cancelled"], ["succeeded"], [(CENTS, False)], *BACK)),
    ],
    ids=["as agreed", "less", "other currency", "paid before", "cancelled", "expired", "expired and sold"],
)
def test_money_of_a_payment_page(before, money, expected):
    order = paying()
    if before:
        before(order)
    intent = report(order, **money)

    first = settle_payment_intent(intent)

    assert outcome(order, intent["id"]) == expected
    assert settle_payment_intent(intent) == first  # reported again, it changes nothing
    assert outcome(order, intent["id"]) == expected


def charged(status="charging", attempt="sending"):
    """A confirmed order whose second part is being charged to the saved card, or stands otherwise."""
    order = create_order()
    order.installments.all().delete()
    order.confirm(reason="paid")
    part = Installment.objects.create(
        order=order,
        number=2,
        due_on=timezone.localdate(),
        amount_cents=CENTS,
        status=status,
        consent=create_consent(order),
        stripe_invoice_id=f"in_{next(_numbers)}",
    )
    if attempt:
        ChargeAttempt.objects.create(
            installment=part,
            number=1,
            kind="auto",
            status=attempt,
            amount_cents=CENTS,
            currency="usd",
            charged_on=part.due_on,
            card=create_card(order),
        )
    return part


def invoice(part, cents=CENTS, **fields):
    return {
        "id": part.stripe_invoice_id,
        "status": "paid",
        "created": int(timezone.now().timestamp()),
        "amount_paid": cents,
        "currency": "usd",
        "metadata": {"installment": str(part.public_id)},
    } | fields


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "money", "expected"),
    [
        ({}, {}, (["paid"], ["succeeded"], [(CENTS, True)], [], [])),
        ({"attempt": "created"}, {}, (["paid"], ["not_executed"], [(CENTS, True)], [], [])),
        ({"status": "needs_card", "attempt": None}, {}, (["paid"], [], [(CENTS, True)], [], [])),
        ({"status": "waived", "attempt": None}, {}, (["waived"], [], [(CENTS, False)], *BACK)),
        (
            {},
            {"cents": CENTS + 1},
            (["exhausted"], ["succeeded"], [(CENTS + 1, False)], [], ["unmatched_payment"]),
        ),
        (
            {},
            {"amount_paid_off_stripe": CENTS, "cents": 0},
            (["paid"], ["not_executed"], [(CENTS, True)], [], []),
        ),
        (
            {"status": "waived", "attempt": None},
            {"paid_out_of_band": True},
            (["waived"], [], [(CENTS, False)], [], ["unmatched_payment"]),
        ),
        ({}, {"cents": 0}, (["exhausted"], ["not_executed"], [], [], ["charge_rejected"])),
        ({}, {"status": "open", "cents": 0}, (["charging"], ["sending"], [], [], [])),
    ],
    ids=[
        "as agreed",
        "elsewhere before its charge was sent",
        "on its page",
        "waived meanwhile",
        "more",
        "outside of Stripe",
        "outside of Stripe, and waived",
        "from a balance",
        "not paid",
    ],
)
def test_money_of_an_invoice(before, money, expected):
    part = charged(**before)
    paid = invoice(part, **money)

    first = settle_invoice(paid)

    assert outcome(part.order, paid["id"]) == ("confirmed", *expected)
    assert settle_invoice(paid) == first
    assert outcome(part.order, paid["id"]) == ("confirmed", *expected)


@pytest.mark.django_db
@pytest.mark.parametrize("metadata", [{}, None, {"attempt": "no id"}, {"installment": "no id"}])
def test_money_of_another_use_of_the_account_is_left_alone(metadata):
    order = paying()
    assert settle_payment_intent(report(order, metadata=metadata)) is None
    assert settle_invoice(report(order, status="paid", metadata=metadata, amount_paid=CENTS)) is None

    assert not Payment.objects.exists()
    assert not BookDifference.objects.exists()


@pytest.mark.django_db
def test_money_whose_row_is_not_here_is_reported_once():
    order = paying()
    for name, settle in (("attempt", settle_payment_intent), ("installment", settle_invoice)):
        ours = {name: str(uuid.uuid4())}
        money = report(order, metadata=ours) | {"id": name, "amount_paid": CENTS}
        money["status"] = "paid" if name == "installment" else "succeeded"
        for _ in range(2):
            assert settle(money) is None

    assert sorted(BookDifference.objects.values_list("stripe_id", "theirs")) == [
        ("attempt", "$144.00 succeeded"),
        ("installment", "$144.00 paid"),
    ]
    assert StaffTask.objects.open().count() == 2


DECLINED = {"status": "requires_payment_method", "last_payment_error": {"decline_code": "insufficient_funds"}}
REPORTS = {
    "declined": lambda order: settle_payment_intent(report(order, **DECLINED)),
    "processing": lambda order: settle_payment_intent(report(order, "processing")),
    "paid": lambda order: settle_payment_intent(report(order)),
    "page open": lambda order: settle_checkout_session(report(order, "open")),
    "page done": lambda order: settle_checkout_session(report(order, "complete")),
    "page over": lambda order: settle_checkout_session(report(order, "expired")),
}


@settings(max_examples=25)
@given(told=st.lists(st.sampled_from(sorted(REPORTS)), max_size=6), seed=st.integers(0, 99))
def test_reports_in_any_order_and_number_lose_no_money_and_double_none(db, told, seed):
    """In any order, with copies: once the money was seen, it is there once, and nothing undoes it."""
    told = [*told, *told]
    random.Random(seed).shuffle(told)
    with transaction.atomic():
        order = paying()
        for number, name in enumerate(told, start=1):
            REPORTS[name](order)
            is_paid = "paid" in told[:number]
            [attempt] = ChargeAttempt.objects.filter(installment__order=order)
            assert order.payments.count() == int(is_paid)
            assert (attempt.status == "succeeded") == is_paid
            assert (order.installments.get().status == "paid") == is_paid
        transaction.set_rollback(True)
