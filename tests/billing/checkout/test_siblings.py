"""Whose places make those of brothers and sisters cheaper: paid ones, in classes that have not ended."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.changes.transfer import transfer
from billing.checkout.holds import expire_holds
from billing.checkout.place_order import place_order
from billing.checkout.siblings import paid_children
from billing.installments.staff_actions import record_offline
from billing.ledger.credits import grant
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import CreditCause, Payment, PaymentMethod
from csf.dates import local_date
from enrollments.models import Enrollment
from orders.cart import add_to_cart
from orders.models import cart_of
from tests.factories import create_child, create_course, create_household, create_staff, ended
from tests.shop import hear, open_page
from tests.waitlist import accept, free, full_class, join

pytestmark = pytest.mark.django_db


def order_for(child, course, **options):
    household = child.household
    add_to_cart(household=household, child=child, course=course, now=timezone.now())
    order = cart_of(household)
    place_order(order=order, by=household.guardians.get(), now=timezone.now(), **options)
    order.refresh_from_db()
    return order


def pay(shop, order):
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")


def counted(household):
    return paid_children(household.pk, on=local_date(timezone.now()))


def test_a_child_whose_place_nobody_has_paid_gives_no_sibling_discount():
    """An order for a made-up child, never paid, must not make the real one 25 % cheaper."""
    household = create_household(children=2)
    invented, real = household.children.order_by("pk")
    order_for(invented, create_course())
    assert order_for(real, create_course(price_cents=20000)).total_cents == 20000


def test_three_unpaid_orders_for_made_up_children_give_no_45_percent(shop):
    household = create_household(children=4)
    *invented, real = household.children.order_by("pk")
    now = timezone.now()
    for child in invented:
        order_for(child, create_course())
    pay(shop, order_for(real, create_course(price_cents=20000)))
    expire_holds(now=now + timedelta(minutes=40))
    kept = sum(Payment.objects.values_list("amount_cents", flat=True))
    assert [o.status for o in household.orders.order_by("pk")] == ["expired"] * 3 + ["confirmed"]
    assert kept == 20000, f"a real place of 200.00 was sold for {kept / 100:.2f}"


def test_a_child_with_a_paid_place_ranks_first_until_the_class_has_ended(shop):
    household = create_household(children=2)
    first, second = household.children.order_by("pk")
    pay(shop, order_for(first, course := create_course(sessions=4)))
    assert counted(household) == [first.pk]
    assert order_for(second, create_course(price_cents=20000)).total_cents == 15000
    ended(course, days=0)
    assert counted(household) == [first.pk]
    ended(course, days=1)
    assert counted(household) == []


def paid_with_credit(shop, household, child):
    grant(
        household=household,
        cents=14400,
        cause=CreditCause.GRANTED,
        reason="x",
        on=local_date(timezone.now()),
    )
    order_for(child, create_course(), use_credit=True)


def free_class(shop, household, child):
    order_for(child, create_course(price_cents=0))


def cancelled(shop, household, child):
    pay(shop, order := order_for(child, create_course(sessions=4)))
    place = Enrollment.objects.get(order_item__order=order)
    cancel_enrollment(enrollment=place, by=household.guardians.get(), reason="x", now=timezone.now())


def fully_refunded(shop, household, child):
    """The office gave all of it back, and left the place."""
    pay(shop, order_for(child, create_course(sessions=4)))
    refund = ask_for_refund(payment=Payment.objects.get(), cents=14400, reason="x", by=create_staff())
    approve(refund=refund, by=create_staff())
    refund_waiting()


def partly_refunded(shop, household, child):
    pay(shop, order_for(child, create_course(sessions=4)))
    refund = ask_for_refund(payment=Payment.objects.get(), cents=14399, reason="x", by=create_staff())
    approve(refund=refund, by=create_staff())
    refund_waiting()


def transferred(shop, household, child):
    pay(shop, order := order_for(child, create_course(sessions=4)))
    move(order, create_course(sessions=4))


def moved_from_a_free_class(shop, household, child):
    move(order_for(child, create_course(price_cents=0, sessions=4)), create_course(sessions=4))


def moved_from_a_free_class_and_paid(shop, household, child):
    moved_from_a_free_class(shop, household, child)
    order = household.orders.get()
    part = order.installments.get()
    record_offline(
        installment=part,
        method=PaymentMethod.CASH,
        by=create_staff(),
        reason="x",
        received_at=timezone.now(),
    )


def moved_twice_from_a_free_class(shop, household, child):
    """Beside a class that is paid, so that there is money of the order."""
    add_to_cart(household=household, child=child, course=create_course(price_cents=0), now=timezone.now())
    pay(shop, order := order_for(create_child(household=household), create_course(sessions=4)))
    for _ in range(2):
        move(order, create_course(sessions=4), child=child)
    Enrollment.objects.filter(order_item__order=order).exclude(child=child).update(
        status="cancelled", seat_number=None
    )


def move(order, course, **of):
    transfer(
        enrollment=Enrollment.objects.get(order_item__order=order, status="active", **of),
        course=course,
        by=create_staff(),
        reason="x",
        now=timezone.now(),
    )


def from_the_waitlist_unpaid(shop, household, child):
    course = full_class()
    place = join(household, course)
    free(course)
    accept(household, place)


def from_the_waitlist_paid(shop, household, child):
    from_the_waitlist_unpaid(shop, household, child)
    pay(shop, household.orders.get())


@pytest.mark.parametrize(
    ("history", "counts"),
    [
        (paid_with_credit, True),
        (free_class, False),
        (cancelled, False),
        (fully_refunded, False),
        (partly_refunded, True),
        (transferred, True),
        (moved_from_a_free_class, False),
        (moved_from_a_free_class_and_paid, True),
        (moved_twice_from_a_free_class, False),
        (from_the_waitlist_unpaid, False),
        (from_the_waitlist_paid, True),
    ],
)
def test_a_place_counts_while_it_stands_and_money_for_it_is_kept(shop, history, counts):
    household = create_household()
    child = household.children.get()
    history(shop, household, child)
    assert counted(household) == ([child.pk] if counts else [])
