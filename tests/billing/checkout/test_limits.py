"""Credit, promo codes and holds outlive and exceed their limits in no way."""

import datetime
from collections import Counter
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.holds import end_unpaid_order, expire_holds
from billing.checkout.place_order import place_order
from billing.ledger.credits import grant, spendable
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund
from billing.ledger.settle import settle_payment_intent
from billing.models import CreditCause, Installment, Payment, Refund, RefundStatus, Terms
from csf.proofs.invariants import violations
from enrollments.models import Enrollment
from orders.cart import add_to_cart, apply_promo
from orders.models import Order, PromoCode, PromoRedemption, PromoUse, cart_of
from orders.refusal import OrderRefused
from tests.factories import create_course, create_household, create_staff
from tests.pages import parent_of, words
from tests.shop import hear, open_page

pytestmark = pytest.mark.django_db


def ordered(household, *courses, code="", **options):
    for course in courses:
        add_to_cart(household=household, child=household.children.first(), course=course, now=timezone.now())
    cart = cart_of(household)
    if code:
        apply_promo(cart=cart, text=code, on=timezone.localdate())
        cart.refresh_from_db()
    place_order(order=cart, by=household.guardians.get(), now=timezone.now(), **options)
    cart.refresh_from_db()
    return cart


def paid(shop, order):
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    return order


def give_up(order, *, days=0, **options):
    options.setdefault("by", order.household.guardians.get())
    place = Enrollment.objects.filter(order_item__order=order, status="active").first()
    now = timezone.now() + timedelta(days=days)
    return cancel_enrollment(enrollment=place, reason="x", now=now, **options)


def let_go(order):
    """Not paid, so the hold is over."""
    Order.objects.filter(pk=order.pk).update(held_until=timezone.now() - timedelta(seconds=1))
    expire_holds(now=timezone.now())
    order.refresh_from_db()
    assert order.status == "expired"


def once(**fields):
    return PromoCode.objects.create(code="ONCE", percent_bps=5000, max_orders=1, **fields)


# --- Promo codes --------------------------------------------------------------------------------------------


def expired(shop, order):
    let_go(order)


def cancelled_unpaid(shop, order):
    end_unpaid_order(order=order, to="cancelled", by=order.household.guardians.get(), reason="x")


def cancelled_in_time(shop, order):
    give_up(paid(shop, order))


def refunded_by_the_office(shop, order):
    """The place stays; all of its price has gone back."""
    payment = Payment.objects.get(order=paid(shop, order))
    refund = ask_for_refund(payment=payment, cents=payment.amount_cents, reason="x", by=create_staff())
    approve(refund=refund, by=create_staff())
    refund_waiting()
    assert Refund.objects.get().status == RefundStatus.SUCCEEDED


def given_as_credit(shop, order):
    """The card did not take it back."""
    refunded_by_the_office(shop, order)
    Refund.objects.get().transition_to(RefundStatus.FAILED)
    PromoRedemption.objects.create(promo_code=order.promo_code, order=order, number=1)
    payment = Payment.objects.get()
    refund = ask_for_refund(payment=payment, cents=7200, reason="x", by=create_staff(), method="credit")
    approve(refund=refund, by=create_staff())


def first_part_refunded(shop, order):
    """The other half of the reduced price is still to be paid."""
    order.installments.update(amount_cents=3600)
    Installment.objects.create(order=order, number=2, due_on=timezone.localdate(), amount_cents=3600)
    refunded_by_the_office(shop, order)


def cancelled_late(shop, order):
    give_up(paid(shop, order), days=30, terms=Terms.PRORATED)


def attended(shop, order):
    paid(shop, order)


@pytest.mark.parametrize(
    ("end", "returns"),
    [
        (expired, True),
        (cancelled_unpaid, True),
        (cancelled_in_time, True),
        (refunded_by_the_office, True),
        (given_as_credit, True),
        (first_part_refunded, False),
        (cancelled_late, False),
        (attended, False),
    ],
)
def test_the_use_of_a_code_returns_when_its_price_does(shop, end, returns):
    once()
    course = create_course(sessions=10)
    end(shop, ordered(create_household(), course, code="once"))
    if returns:
        assert ordered(create_household(), course, code="once").total_cents == 7200
    else:
        with pytest.raises(OrderRefused):
            ordered(create_household(), course, code="once")
    assert PromoRedemption.objects.count() == 1


def test_a_line_that_is_given_up_returns_its_own_use_and_the_last_one_that_of_the_order(shop):
    PromoCode.objects.create(code="TWICE", percent_bps=5000, max_orders=1)
    household = create_household()
    order = paid(shop, ordered(household, create_course(), create_course(), code="twice"))
    give_up(order)
    assert (PromoUse.objects.count(), PromoRedemption.objects.count()) == (1, 1)
    give_up(order)
    assert (PromoUse.objects.count(), PromoRedemption.objects.count()) == (0, 0)


@pytest.mark.parametrize("is_used_up", [True, False])
def test_late_money_takes_the_code_again_or_goes_back(shop, is_used_up):
    """The hold ran out, the code went to another family, and then the money of the first one came."""
    once()
    course = create_course(sessions=10)
    first = ordered(create_household(), course, code="once")
    page = open_page(first)
    shop.pay(page)  # nobody has told us yet
    [told] = shop.events("payment_intent.succeeded")
    Order.objects.filter(pk=first.pk).update(status="expired")
    release(first)
    if is_used_up:
        ordered(create_household(), course, code="once")
    settle_payment_intent(told["data"]["object"])
    first.refresh_from_db()
    assert first.status == ("expired" if is_used_up else "confirmed")
    assert Payment.objects.get().refunds.exists() is is_used_up
    assert PromoRedemption.objects.count() == 1
    assert PromoRedemption.objects.get().order_id != first.pk or not is_used_up


def release(order):
    """As an expired order is left behind."""
    PromoRedemption.objects.filter(order=order).delete()
    for part in order.installments.all():
        part.stop_charging(reason="x")
        part.cancel(reason="x")
    for place in Enrollment.objects.filter(order_item__order=order):
        place.release(reason="x")


def test_the_database_refuses_a_use_beyond_the_limit():
    code = once()
    ordered(create_household(), create_course(), code="once")
    other = ordered(create_household(), create_course())
    with pytest.raises(IntegrityError), transaction.atomic():
        PromoRedemption.objects.create(promo_code=code, order=other, number=2, limit=code.max_orders)


# --- Credit -------------------------------------------------------------------------------------------------


def credit(household, cents, *, days):
    given_on = timezone.localdate() - timedelta(days=365 - days)
    grant(household=household, cents=cents, cause=CreditCause.GRANTED, reason="x", on=given_on)


def left(household, *, days=0):
    """What can be spent in so many days: cents by the days that they last from today on."""
    today = timezone.localdate()
    on: datetime.date = today + timedelta(days=days)
    found: Counter[int] = Counter()
    for grant_ in spendable(household, on=on):
        found[(grant_.credit.expires_on - today).days] += grant_.left_cents
    return found


def test_credit_that_comes_back_from_a_cancelled_order_keeps_its_last_day():
    household = create_household()
    credit(household, 10000, days=3)
    credit(household, 10000, days=100)
    order = ordered(household, create_course(price_cents=15000), use_credit=True)
    give_up(order)
    assert left(household) == {3: 10000, 100: 10000}
    assert left(household, days=4) == {100: 10000}
    assert violations() == []


def test_credit_that_ran_out_meanwhile_does_not_come_back():
    household = create_household()
    credit(household, 14400, days=3)
    order = ordered(household, create_course(), use_credit=True)
    give_up(order, days=5)
    assert left(household, days=5) == {}


def test_what_was_paid_by_card_becomes_credit_for_a_year(shop):
    household = create_household()
    credit(household, 4400, days=3)
    order = paid(shop, ordered(household, create_course(sessions=10), use_credit=True))
    give_up(order, terms=Terms.CREDIT)
    assert left(household) == {365: 10000, 3: 4400}


def test_what_the_school_itself_takes_away_is_credit_for_a_year():
    household = create_household()
    credit(household, 14400, days=3)
    order = ordered(household, create_course(), use_credit=True)
    give_up(order, by=None)
    assert left(household) == {365: 14400}


def test_the_page_says_until_when_the_credit_is_good():
    household = create_household()
    credit(household, 14400, days=3)
    order = ordered(household, create_course(), use_credit=True)
    place = Enrollment.objects.get(order_item__order=order)
    page = words(parent_of(household).get(reverse("cancel_enrollment", args=[place.public_id])))
    ends = timezone.localdate() + timedelta(days=3)
    assert f"valid until {ends:%a, %b} {ends.day}, {ends.year}" in page


# --- Holds --------------------------------------------------------------------------------------------------


def test_a_family_cannot_keep_a_seat_by_ordering_again_and_again():
    household, course = create_household(), create_course(capacity=1)
    for end in (let_go, let_go, lambda order: cancelled_unpaid(None, order)):
        end(ordered(household, course))
    with pytest.raises(OrderRefused, match="without paying"):
        ordered(household, course)
    assert ordered(create_household(), course).status == "placed"  # the seat is for others
    other = create_course()
    cart_of(household).items.all().delete()
    assert ordered(household, other).status == "placed"


def test_it_may_try_again_the_next_day(settings):
    household, course = create_household(), create_course()
    for _ in range(3):
        let_go(ordered(household, course))
    Order.objects.update(placed_at=timezone.now() - timedelta(hours=25))
    assert ordered(household, course).status == "placed"
