"""Giving up a paid place: what the page says comes true, in rows, at Stripe and in the email."""

import datetime
import re
from datetime import timedelta
from html import unescape

import pytest
import requests
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.changes import cancellation
from billing.changes.cancellation import (
    cancel_enrollment,
    outcome_of,
    refund_until,
    settle_waiting_cancellations,
)
from billing.checkout.place_order import place_order
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.ledger.reductions import apply_reduction, kept_cents, plan_reduction, refundable
from billing.models import (
    Cancellation,
    ChargeAttempt,
    Credit,
    Installment,
    InstallmentStatus,
    Payment,
    PaymentPlan,
    Refund,
    RefundStatus,
    Terms,
)
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from orders.cart import add_to_cart
from orders.models import Order, cart_of
from tests.factories import create_course, create_household, create_order
from tests.hosted_page import invoice_page
from tests.pages import parent_of, words
from tests.shop import VISA, hear, money_moved, open_page, script

DUE = [InstallmentStatus.SCHEDULED]


def two_children(shop, *, parts=1, household=None):
    """The children of a family in one class; the second child has a sibling's price."""
    household = household or create_household(children=2)
    course = create_course(sessions=10)
    for child in household.children.order_by("pk"):
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    order = cart_of(household)
    plan = None
    if parts > 1:
        plan, _ = PaymentPlan.objects.get_or_create(name=f"{parts} parts", parts=parts)
    place_order(order=order, by=household.guardians.get(), now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    return order


def places(order):
    return list(Enrollment.objects.filter(order_item__order=order).order_by("pk"))


def parts_of(order):
    return [(part.amount_cents, part.status) for part in order.installments.order_by("number")]


def give_up(enrollment, **options):
    now = options.pop("now", None) or timezone.now()
    by = enrollment.child.household.guardians.first()
    return cancel_enrollment(enrollment=enrollment, by=by, reason="no time", now=now, **options)


def figures(cancellation):
    return (
        cancellation.status,
        cancellation.stopped_cents,
        cancellation.refund_cents,
        cancellation.credit_cents,
    )


def confirm_on_page(client, enrollment):
    """Read the page and press its button, as a browser does."""
    url = reverse("cancel_enrollment", args=[enrollment.public_id])
    page = client.get(url)
    fingerprint = unescape(re.search(r'name="fingerprint" value="([^"]*)"', page.text).group(1))
    return page, client.post(url, {"fingerprint": fingerprint, "reason": "moved away"}, follow=True)


# --- The page -----------------------------------------------------------------------------------------------


def test_one_of_two_children_with_a_plan_half_paid(shop):
    order = two_children(shop, parts=2)
    total, net = order.total_cents, [item.net_cents for item in order.items.order_by("pk")]
    half = total // 2
    second = order.installments.get(number=2)
    client = parent_of(order.household)
    place = places(order)[1]

    page, after = confirm_on_page(client, place)

    value, left = net[1], half - net[1]
    assert total == sum(net)
    said = words(page)
    assert f"you get the full price of ${value / 100:.2f} back" in said
    assert f"${left / 100:.2f} instead of ${half / 100:.2f}" in said
    assert "goes back to" not in said  # nothing was paid beyond what is still owed
    done = Cancellation.objects.get()
    assert figures(done) == ("settled", value, 0, 0)
    assert parts_of(order) == [(half, "paid"), (half, "cancelled"), (left, "scheduled")]
    assert f"${value / 100:.2f} will no longer be charged." in after.text
    assert order.installments.get(number=3).due_on == second.due_on
    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert mail.context["stops"] == [{"due_on": second.due_on.isoformat(), "cents": half, "left_cents": left}]
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert violations() == []


def test_paid_in_full_goes_back_to_the_card_and_the_last_place_ends_the_order(shop):
    order = two_children(shop)
    first, second = places(order)
    client = parent_of(order.household)

    page, after = confirm_on_page(client, first)

    price = order.items.get(enrollment=first).net_cents
    assert (
        f"${price / 100:.2f} will be refunded to Visa ending in 4242 once our office has approved it."
        in words(page)
    )
    assert (
        f"${price / 100:.2f} will be refunded to Visa ending in 4242 once our office has approved it."
        in after.text
    )
    assert "Awaiting approval" in words(after)
    refund = Refund.objects.get()
    assert (refund.amount_cents, refund.status, refund.cause) == (price, "requested", "cancellation")
    assert StaffTask.objects.get().kind == "refund_to_approve"

    give_up(second)

    order.refresh_from_db()
    assert order.status == "cancelled"
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == order.total_cents
    assert EmailMessage.objects.filter(kind="cancellation_confirmation").count() == 2
    assert violations() == []


def test_a_page_with_old_figures_shows_the_new_ones_and_cancels_nothing(shop):
    order = two_children(shop)
    place = places(order)[0]
    client = parent_of(order.household)
    url = reverse("cancel_enrollment", args=[place.public_id])

    answer = client.post(url, {"fingerprint": "refund 1 stops  refunds  credit 0 charging "})

    assert "Something has changed" in answer.text
    assert "will be refunded to Visa" in words(answer)
    place.refresh_from_db()
    assert place.status == "active"
    assert not Cancellation.objects.exists()


def test_pressing_twice_and_the_back_button_do_no_harm(shop):
    order = two_children(shop)
    place = places(order)[0]
    client = parent_of(order.household)
    url = reverse("cancel_enrollment", args=[place.public_id])
    fingerprint = outcome_of(enrollment=place, now=timezone.now()).fingerprint

    answers = [client.post(url, {"fingerprint": fingerprint}) for _ in range(3)]

    assert {answer.url for answer in answers} == {order.get_absolute_url()}
    assert client.get(url).url == order.get_absolute_url()
    assert (Cancellation.objects.count(), Refund.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("zone", "request_at", "terms"),
    [
        ("America/New_York", "2027-01-16T04:59:59+00:00", Terms.REFUND),  # the last second of day 15
        ("America/New_York", "2027-01-16T05:00:00+00:00", Terms.PRORATED),
        ("Asia/Tokyo", "2027-01-15T14:59:59+00:00", Terms.REFUND),
        ("Asia/Tokyo", "2027-01-15T15:00:00+00:00", Terms.PRORATED),
    ],
)
def test_the_full_price_goes_back_until_the_fifteenth_day_at_the_school(
    db, settings, zone, request_at, terms
):
    settings.SCHOOL_TIME_ZONE = zone
    order = create_order()
    Order.objects.update(placed_at=datetime.datetime(2026, 12, 31, 14, tzinfo=datetime.UTC))
    order.refresh_from_db()

    found = outcome_of(enrollment=places(order)[0], now=datetime.datetime.fromisoformat(request_at))

    assert refund_until(order) == datetime.date(2027, 1, 15)
    assert found.terms == terms


def test_after_the_fifteenth_day_what_is_left_becomes_credit(shop):
    order = two_children(shop)
    place = places(order)[0]
    price = order.items.get(enrollment=place).net_cents
    session = place.course.sessions.order_by("held_on")[3]
    late = session.starts_at + timedelta(hours=5)  # four of ten are over

    done = give_up(place, now=late)

    assert figures(done) == ("settled", 0, 0, round(price * 0.6))
    credit = Credit.objects.get()
    assert (credit.amount_cents, credit.cause) == (round(price * 0.6), "cancellation")
    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert mail.context["credit_until"] == credit.expires_on.isoformat()
    assert violations() == []


def test_what_was_used_of_a_plan_is_still_charged(shop):
    """One class in two parts, given up when nearly over: the order stands until what is owed is paid."""
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    place = places(order)[0]
    late = place.course.sessions.order_by("held_on")[7].starts_at + timedelta(hours=5)

    done = give_up(place, now=late)

    assert figures(done) == ("settled", 2880, 0, 0)
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert parts_of(order) == [(7200, "paid"), (7200, "cancelled"), (4320, "scheduled")]


# --- A charge at the same moment ----------------------------------------------------------------------------


def test_a_charge_in_flight_is_waited_for_and_then_refunded(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    start_charges(DUE, on=part.due_on)
    attempt = ChargeAttempt.objects.on_saved_cards().get()
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/pay", "kind": "drop_after"}])
    run_attempt(attempt.pk)
    attempt.refresh_from_db()
    assert attempt.status == "unknown"
    page, after = confirm_on_page(parent_of(household), places(order)[0])

    assert "$72.00 is being processed" in words(page)
    assert "We will email you the result" in after.text
    done = Cancellation.objects.get()
    assert done.status == "waiting"
    assert places(order)[0].status == "cancelled"  # the seat is free at once
    assert not EmailMessage.objects.filter(kind="cancellation_confirmation").exists()
    assert settle_waiting_cancellations() == 0

    shop.server.control("DELETE", "/_faults")
    ChargeAttempt.objects.update(next_look_at=timezone.now())
    run_attempt(attempt.pk)
    assert settle_waiting_cancellations() == 1

    done.refresh_from_db()
    assert figures(done) == ("settled", 0, 14400, 0)
    assert sorted(Refund.objects.values_list("amount_cents", flat=True)) == [7200, 7200]
    assert money_moved(shop, part) == [7200]
    assert EmailMessage.objects.get(kind="cancellation_confirmation").context["refund_cents"] == 14400
    assert violations() == []


def test_a_charge_that_was_not_sent_yet_never_is(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    start_charges(DUE, on=part.due_on)
    done = give_up(places(order)[0])
    assert done.status == "waiting"

    run_attempt(ChargeAttempt.objects.on_saved_cards().get().pk)
    assert settle_waiting_cancellations() == 1

    done.refresh_from_db()
    assert figures(done) == ("settled", 7200, 7200, 0)
    assert money_moved(shop, part) == []
    assert violations() == []


def test_an_open_invoice_is_void_before_the_money_is_settled(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    page = invoice_page(part)

    done = give_up(places(order)[0])

    assert figures(done) == ("settled", 7200, 7200, 0)
    part.refresh_from_db()
    assert gateway.retrieve_invoice(part.stripe_invoice_id)["status"] == "void"
    requests.post(page, data={"card": VISA}, timeout=60)  # the parent's tab was still open
    assert money_moved(shop, part) == []
    assert violations() == []


def test_an_invoice_paid_on_stripes_page_at_the_same_moment_is_refunded(shop, monkeypatch):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    page = invoice_page(part)
    free = cancellation._free_the_seat

    def free_and_pay(*args, **options):
        done = free(*args, **options)
        shop.pay(page)
        return done

    monkeypatch.setattr(cancellation, "_free_the_seat", free_and_pay)

    done = give_up(places(order)[0])

    assert figures(done) == ("settled", 0, 14400, 0)
    hear(shop, "invoice.paid")
    assert sorted(Payment.objects.values_list("amount_cents", flat=True)) == [7200, 7200]
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == 14400
    assert violations() == []


def test_while_stripe_does_not_say_that_an_invoice_is_void_the_money_waits(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    invoice_page(order.installments.get(number=2))
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/void", "kind": "error_before"}])

    done = give_up(places(order)[0])

    assert done.status == "waiting"
    assert parts_of(order) == [(7200, "paid"), (7200, "scheduled")]
    shop.server.control("DELETE", "/_faults")
    assert settle_waiting_cancellations() == 1
    done.refresh_from_db()
    assert figures(done) == ("settled", 7200, 7200, 0)


def test_a_declined_card_leaves_a_smaller_part_to_be_tried_anew(shop):
    order = two_children(shop, parts=2)
    part = order.installments.get(number=2)
    script(shop, part, "insufficient_funds")
    start_charges(DUE, on=part.due_on)
    run_attempt(ChargeAttempt.objects.on_saved_cards().get().pk)

    give_up(places(order)[1])

    open_one = order.installments.open().get()
    assert (open_one.status, open_one.due_on) == ("scheduled", part.due_on)
    assert gateway.retrieve_invoice(order.installments.get(number=2).stripe_invoice_id)["status"] == "void"
    start_charges(DUE, on=part.due_on)
    run_attempt(ChargeAttempt.objects.on_saved_cards().latest("pk").pk)
    open_one.refresh_from_db()
    assert open_one.status == "paid"
    assert money_moved(shop, open_one) == [open_one.amount_cents]
    assert violations() == []


# --- The arithmetic -----------------------------------------------------------------------------------------


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
