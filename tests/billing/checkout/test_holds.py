"""Holds that are over, orders that end without their money, and money that comes after that."""

import datetime
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout import holds
from billing.checkout.holds import Paid, end_unpaid_order, expire_holds
from billing.ledger.refund_sending import refund_waiting
from billing.models import (
    ChargeAttempt,
    Refund,
)
from billing.stripe.page_calls import StripeUnavailable
from csf.state import Stale
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from orders.models import OrderStatus, PromoCode, PromoRedemption
from tests.factories import create_course, create_household, create_order
from tests.shop import (
    NO_MONEY,
    PAID,
    UNPAID,
    hear,
    open_page,
    outcome,
)

EXPIRED = UNPAID | {
    "order": "expired",
    "installments": ["cancelled"],
    "attempts": ["not_executed"],
    "seats": ["released", "released"],
    "emails": {"order_confirmation": 1, "order_expired": 1},
}


def two_class_order():
    return create_order(courses=[create_course(capacity=1), create_course()])


def later():
    return timezone.now() + timedelta(minutes=40)


def test_a_hold_that_is_over_frees_its_seats_once_the_page_is_closed(shop):
    order = two_class_order()
    page = open_page(order)

    assert expire_holds(now=timezone.now()) == {}
    assert expire_holds(now=later()) == {"expired": 1}
    assert expire_holds(now=later()) == {}

    assert outcome(order) == EXPIRED
    with pytest.raises(AssertionError):
        shop.pay(page)
    assert not order.items.first().course.enrollments.occupying().exists()


def test_an_order_whose_page_was_never_opened_expires_too(shop):
    order = two_class_order()

    assert expire_holds(now=later()) == {"expired": 1}
    assert outcome(order) == EXPIRED | {"attempts": []}


def test_money_that_arrived_without_a_webhook_is_found_before_the_seats_are_given_away(shop):
    order = two_class_order()
    shop.pay(open_page(order))

    assert expire_holds(now=later()) == {"paid": 1}

    assert outcome(order) == PAID


@pytest.mark.parametrize("kind", ["error_before", "drop_before", "rate_limit"])
def test_while_stripe_does_not_say_the_seats_stay_held(shop, kind):
    order = two_class_order()
    open_page(order)
    shop.server.control("POST", "/_faults", [{"path": "/v1/checkout/*", "kind": kind}])

    assert expire_holds(now=later()) == {"waiting": 1}
    assert outcome(order) == UNPAID

    shop.server.control("DELETE", "/_faults")
    assert expire_holds(now=later()) == {"expired": 1}


def test_a_page_whose_making_got_no_answer_is_learnt_and_closed(shop):
    order = two_class_order()
    shop.server.control("POST", "/_faults", [{"path": "/v1/checkout/sessions", "kind": "drop_after"}])
    with pytest.raises(StripeUnavailable):
        open_page(order)
    assert ChargeAttempt.objects.get().status == "unknown"
    shop.server.control("DELETE", "/_faults")

    assert expire_holds(now=later()) == {"expired": 1}

    assert outcome(order) == EXPIRED
    posts = [post["path"] for post in shop.server.books()["posts"] if post["path"].startswith("/v1/checkout")]
    assert len(set(posts)) == 2  # one session made, however often it was asked for, and closed


def pay_too_late(shop, order):
    """The parent pays in the very moment in which we, and the clock, call the hold over."""
    shop.pay(open_page(order))
    [event] = shop.events("payment_intent.succeeded")
    ChargeAttempt.objects.update(status="not_executed", session_closed_at=timezone.now())
    order.installments.update(status="scheduled")
    assert expire_holds(now=later()) == {"expired": 1}
    return event


def test_late_money_takes_the_seats_again_if_all_are_free(shop):
    order = two_class_order()
    pay_too_late(shop, order)

    hear(shop, "payment_intent.succeeded")

    # The email about the end of the hold is not sent: it waits a little, and by then it is not true.
    assert outcome(order) == PAID | {"emails": PAID["emails"] | {"order_expired": 1}}
    assert [item.enrollment.seat_number for item in order.items.select_related("enrollment")] == [1, 1]


def test_late_money_without_a_free_seat_goes_back_by_itself(shop):
    order = two_class_order()
    pay_too_late(shop, order)
    rival = create_order(household=create_household(), courses=[order.items.first().course])

    hear(shop, "payment_intent.succeeded")

    assert outcome(order) == EXPIRED | {
        "attempts": ["succeeded"],
        "payments": [(28800, False)],
        "tasks": ["refund_by_system"],
        "emails": {"order_confirmation": 2, "order_expired": 1, "payment_success": 1},
    }
    refund_waiting()
    assert [(row.amount_cents, row.status) for row in Refund.objects.all()] == [(28800, "succeeded")]
    assert EmailMessage.objects.filter(kind="refund_issued").count() == 1
    assert [item.enrollment.status for item in rival.items.select_related("enrollment")] == ["held"]


@pytest.mark.parametrize("change", [{"cancelled_at": timezone.now()}, {"ends_on": "2026-01-31"}])
def test_late_money_for_a_class_that_is_over_or_cancelled_goes_back_by_itself(shop, change):
    order = create_order(courses=[course := create_course(starts_on=datetime.date(2026, 1, 1))])
    event = pay_too_late(shop, order)
    Course.objects.filter(pk=course.pk).update(**change)

    hear(shop, event["type"])

    order.refresh_from_db()
    assert order.status == "expired"
    assert [(row.status, row.amount_cents) for row in order.refunds.all()] == [("approved", 14400)]


def test_a_parent_cancels_an_unpaid_order(shop):
    order = two_class_order()
    open_page(order)
    parent = order.household.guardians.get()

    end_unpaid_order(order=order, to=OrderStatus.CANCELLED, by=parent, reason="changed our mind")

    assert outcome(order) == EXPIRED | {"emails": UNPAID["emails"]} | {"order": "cancelled"}
    assert order.transitions.last().by == parent
    with pytest.raises(Stale):
        end_unpaid_order(order=order, to=OrderStatus.CANCELLED, by=parent, reason="again")


def test_cancelling_an_order_that_was_just_paid_confirms_it(shop):
    order = two_class_order()
    shop.pay(open_page(order))

    with pytest.raises(Paid):
        end_unpaid_order(order=order, to=OrderStatus.CANCELLED, reason="changed our mind")

    assert outcome(order) == PAID


def test_an_unpaid_order_gives_its_promo_code_back(shop):
    code = PromoCode.objects.create(code="ONCE", percent_bps=1000, max_orders=1)
    order = two_class_order()
    PromoRedemption.objects.create(promo_code=code, order=order, number=1)

    expire_holds(now=later())

    assert not PromoRedemption.objects.exists()


def test_giving_up_places_one_by_one_cancels_the_order_with_the_last(shop):
    order = two_class_order()
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    parent = order.household.guardians.get()
    first, second = Enrollment.objects.order_by("pk")

    cancel_enrollment(enrollment=first, by=parent, reason="no time", now=timezone.now())
    assert outcome(order) == PAID | {
        "seats": ["active", "cancelled"],
        "tasks": ["refund_to_approve"],
        "emails": PAID["emails"] | {"cancellation_confirmation": 1},
    }
    cancel_enrollment(enrollment=second, by=parent, reason="no time", now=timezone.now())

    assert outcome(order) == PAID | {
        "order": "cancelled",
        "seats": ["cancelled", "cancelled"],
        "tasks": ["refund_to_approve", "refund_to_approve"],
        "emails": PAID["emails"] | {"cancellation_confirmation": 2},
    }
    with pytest.raises(Stale):
        cancel_enrollment(enrollment=second, by=parent, reason="twice", now=timezone.now())


def test_a_staff_cancellation_is_mailed_to_the_family(shop, django_user_model):
    order = create_order()
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    staff = django_user_model.objects.create_user("staff@example.org", is_staff=True)

    place = Enrollment.objects.get()
    cancel_enrollment(enrollment=place, by=staff, reason="class is closed", now=timezone.now())

    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert mail.to == order.household.guardians.get().email


def test_a_decline_is_mailed_only_if_the_parent_does_not_pay_meanwhile(shop, committed_db, mail_server):
    declined, recovered = create_order(), create_order()
    for order in (declined, recovered):
        shop.pay(open_page(order), NO_MONEY)
    hear(shop, "payment_intent.payment_failed")
    shop.pay(open_page(recovered))
    hear(shop, "payment_intent.succeeded")

    EmailMessage.objects.update(next_attempt_at=timezone.now())
    drain()

    assert sorted(
        (mail["kind"], mail["to"][0]) for mail in mail_server.messages() if "payment" in mail["kind"]
    ) == [
        ("payment_failed", declined.household.guardians.get().email),
        ("payment_success", recovered.household.guardians.get().email),
    ]
    assert {row.status for row in EmailMessage.objects.filter(kind="payment_failed")} == {"sent", "expired"}


def test_an_order_that_cannot_be_expired_keeps_no_other_from_it(shop, monkeypatch):
    orders = [create_order() for _ in range(4)]
    close = holds.close_payment_page

    def stumble(order):
        if order in orders[:2]:
            raise KeyError("an answer that nobody foresaw")
        close(order)

    monkeypatch.setattr(holds, "close_payment_page", stumble)
    monkeypatch.setattr(holds, "AT_ONCE", 2)

    seen = sum((expire_holds(now=timezone.now() + timedelta(minutes=40)) for _ in range(40)), Counter())

    assert seen["expired"] == 2
    assert seen["failed"] >= 2
    assert [order.items.get().enrollment.status for order in orders] == ["held"] * 2 + ["released"] * 2
