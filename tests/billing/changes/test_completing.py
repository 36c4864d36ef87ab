"""The end of a class: rules ask whether it has ended; its places and orders are completed two weeks later."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.changes.class_closure import close_class, preview_class, process_closures
from billing.changes.class_end import complete_ended_classes, reopen_class
from billing.changes.seat_release import offer_to_waitlist
from billing.changes.transfer import quote_transfer, transfer
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import InstallmentStatus, Payment, Refund, Terms, Transfer
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.classes.waitlist import NoSeat
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from orders.cart import add_to_cart
from orders.refusal import OrderRefused
from tests.factories import create_course, create_household, create_order, create_staff, ended, shift
from tests.pages import parent_of
from tests.shop import hear, open_page, order_with_plan
from tests.waitlist import family, full_class, join, place_of

pytestmark = pytest.mark.django_db
TODAY = timezone.localdate


def complete(days=0):
    """What the daily job does in so many days: how many rows it touched."""
    report = complete_ended_classes(on=TODAY() + timedelta(days=days))
    assert report.failed == 0
    return report.done


def paid_order(shop, course):
    order = create_order(courses=[course])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    return order


def states(order):
    order.refresh_from_db()
    places = Enrollment.objects.filter(order_item__order=order).order_by("pk")
    return order.status, [place.status for place in places]


@pytest.mark.parametrize(
    ("sessions", "off", "days", "has_ended"),
    [
        (3, [], 0, False),  # it meets today for the last time
        (3, [], 1, True),
        (3, [2], 1, True),  # the last one was called off: over since the one before
        (3, [2], 0, False),
        (3, [0, 1, 2], 1, True),  # none takes place: its last day counts
        (0, [], 0, False),
        (0, [], 1, True),
    ],
)
def test_a_class_has_ended_when_its_last_session_that_takes_place_is_over(sessions, off, days, has_ended):
    course = create_course(sessions=sessions, ends_on=TODAY() + timedelta(weeks=5))
    planned = list(course.sessions.all())
    for number in off:
        course.sessions.filter(pk=planned[number].pk).update(cancelled_at=timezone.now())
    course = ended(course, days=days)
    assert course.has_ended(TODAY()) is has_ended
    assert Course.objects.ended(TODAY()).filter(pk=course.pk).exists() is has_ended
    assert Course.objects.current(TODAY()).filter(pk=course.pk).exists() is not has_ended


def test_a_class_that_has_ended_is_not_sold_moved_to_or_cancelled_but_by_the_office(shop, client):
    course = create_course(sessions=4)
    order = paid_order(shop, course)
    place = Enrollment.objects.get(order_item__order=order)
    other = create_household()
    elsewhere = Enrollment.objects.get(order_item__order=paid_order(shop, create_course(sessions=4)))
    ended(course)
    with pytest.raises(OrderRefused):
        add_to_cart(household=other, child=other.children.get(), course=course, now=timezone.now())
    page = parent_of(order.household).get(reverse("cancel_enrollment", args=[place.public_id]))
    assert (page.status_code, page.headers["Location"]) == (302, order.get_absolute_url())
    assert "Cancel this class" not in parent_of(order.household).get(order.get_absolute_url()).text
    client.force_login(create_staff())
    of_office = reverse("admin:enrollments_enrollment_act", args=[place.pk, "cancel"])
    assert "the remaining sessions" in client.get(of_office).text
    with pytest.raises(NotPossible):
        quote_transfer(enrollment=elsewhere, course=Course.objects.get(pk=course.pk), now=timezone.now())


def test_places_and_orders_are_completed_two_weeks_after_the_end(shop, capsys):
    order = paid_order(shop, course := create_course(sessions=4))
    course = ended(course, days=14)
    assert (complete(), states(order)) == (0, ("confirmed", ["active"]))
    course = shift(course, -1)
    call_command("run_job", "complete_ended_classes", "--dry-run")
    assert f"do complete the places in {course}" in capsys.readouterr().out
    assert states(order) == ("confirmed", ["active"])
    call_command("run_job", "complete_ended_classes")
    call_command("run_job", "complete_ended_classes")
    assert capsys.readouterr().out.splitlines() == [
        f"complete_ended_classes {TODAY()}: done=2 skipped=0 failed=0",
        f"complete_ended_classes {TODAY()}: already done, nothing to do",
    ]
    assert states(order) == ("completed", ["completed"])
    place = Enrollment.objects.get(order_item__order=order)
    with pytest.raises(Stale):
        cancel_enrollment(enrollment=place, by=create_staff(), reason="x", now=timezone.now())
    refund = ask_for_refund(payment=Payment.objects.get(), cents=500, reason="sorry", by=create_staff())
    approve(refund=refund, by=create_staff())
    assert (refund.status, violations()) == ("approved", [])


def test_a_family_that_owes_stays_in_dunning_until_it_has_paid(shop):
    part = order_with_plan(shop)
    order = part.order
    ended(order.items.get().course, days=15)
    assert (complete(), states(order)) == (1, ("confirmed", ["completed"]))
    assert order.installments.overdue(TODAY() + timedelta(days=60)).exists()
    part.transition_to(InstallmentStatus.WAIVED, reason="x")
    assert (complete(), states(order)) == (1, ("completed", ["completed"]))


@pytest.mark.parametrize("what", ["refund", "dispute", "second class"])
def test_an_order_is_not_completed_while_anything_of_it_is_open(shop, what):
    course, later = create_course(sessions=4), create_course(sessions=4)
    order = create_order(courses=[course, later] if what == "second class" else [course])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    payment = Payment.objects.get()
    if what == "refund":
        ask_for_refund(payment=payment, cents=500, reason="x", by=create_staff())
    elif what == "dispute":
        payment.disputes.create(
            stripe_id="dp_1",
            amount_cents=payment.amount_cents,
            currency="usd",
            status="needs_response",
            opened_at=timezone.now(),
        )
    ended(course, days=15)
    assert complete() == 1
    assert states(order)[0] == "confirmed"
    Refund.objects.update(status="rejected")
    payment.disputes.update(closed_at=timezone.now())
    ended(later, days=15)
    assert complete() == (2 if what == "second class" else 1)
    assert states(order)[0] == "completed"


def test_a_transferred_childs_order_is_completed_with_the_class_it_moved_to(shop):
    order = paid_order(shop, course := create_course(sessions=4))
    place = Enrollment.objects.get(order_item__order=order)
    transfer(
        enrollment=place,
        course=(later := create_course(sessions=8)),
        by=create_staff(),
        reason="x",
        now=timezone.now(),
    )
    ended(course, days=15)
    assert complete() == 0
    ended(later, days=15)
    assert (complete(), states(order)) == (2, ("completed", ["transferred", "completed"]))
    assert Transfer.objects.count() == 1


def test_whoever_waits_for_a_class_that_has_ended_is_told_once_and_a_place_on_offer_returns(shop):
    course = full_class(sessions=4)
    enrolled = course.enrollments.get()
    by = enrolled.child.household.guardians.get()
    late = timezone.now() + timedelta(days=16)
    offer_to_waitlist(enrolled, by=by, now=late)
    waiting = join(household := family(), course)
    enrolled.refresh_from_db()
    assert (enrolled.status, place_of(household, course).status) == ("on_offer", "offered")
    ended(course, days=1)
    EmailMessage.objects.all().delete()
    assert (complete(), complete()) == (1, 0)
    enrolled.refresh_from_db()
    waiting.refresh_from_db()
    assert (enrolled.status, enrolled.seat_number, waiting.status) == ("active", 1, "declined")
    [told] = EmailMessage.objects.all()
    assert (told.kind, told.context["why"]) == ("waitlist_lapsed", "ended")
    assert complete(days=14) == 2  # the place, and its order, which owes nothing
    enrolled.refresh_from_db()
    assert enrolled.status == "completed"


def test_whoever_pays_for_a_cancelled_class_gets_everything_back_even_after_its_last_day():
    """The place was held at the decision, and nobody knew for days whether its card was charged."""
    order = create_order(courses=[course := create_course(sessions=3)])
    now, terms = timezone.now(), Terms.CREDIT
    fingerprint = preview_class(course=course, terms=terms, now=now).fingerprint
    close_class(
        course=course, terms=terms, by=create_staff(), reason="no hall", now=now, fingerprint=fingerprint
    )
    process_closures(now=now)
    ended(course, days=3)
    part = order.installments.get()
    part.pay(reason="found at Stripe")
    Payment.objects.create(
        order=order,
        installment=part,
        amount_cents=14400,
        currency="usd",
        stripe_payment_intent_id="pi_found",
        received_at=now,
    )
    order.confirm(reason="paid")

    process_closures(now=now)

    assert states(order) == ("cancelled", ["cancelled"])
    assert Refund.objects.get().amount_cents == 14400


def test_a_class_that_is_extended_takes_its_seats_and_orders_again(shop):
    course = create_course(sessions=4, capacity=2)
    orders = [paid_order(shop, course) for _ in range(2)]
    course = ended(course, days=15)
    complete()
    assert [states(order) for order in orders] == [("completed", ["completed"])] * 2
    told = EmailMessage.objects.count()
    Course.objects.filter(pk=course.pk).update(capacity=1)
    with pytest.raises(NoSeat):
        reopen_class(course, by=create_staff(), reason="four more weeks")
    Course.objects.filter(pk=course.pk).update(capacity=2)
    assert reopen_class(shift(course, 30), by=create_staff(), reason="four more weeks") == 2
    assert [states(order) for order in orders] == [("confirmed", ["active"])] * 2
    assert sorted(course.enrollments.values_list("seat_number", flat=True)) == [1, 2]
    assert (complete(), EmailMessage.objects.count(), violations()) == (0, told, [])
