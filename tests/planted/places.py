"""Places and seats, orders and their lines, and the people who have them."""

from allauth.account.models import EmailAddress
from django.db.models import F
from django.utils import timezone

from billing.models import Payment
from csf.clock import Now
from enrollments.classes.waitlist import IN_ORDER
from enrollments.models import Course, Enrollment, EnrollmentTransition
from orders.models import OrderItem, OrderTransition, PromoRedemption, PromoUse
from tests.factories import create_course
from tests.planted.school import (
    DAY,
    HOUR,
    change,
    drop,
    family,
    full_class,
    guardian,
    move,
    note_change_by_staff,
    order_of,
    part,
    places,
    without_trigger,
)


def enrolled_without_seat():
    drop(Enrollment, "seat_number")
    change(places("Paid")[0], seat_number=None)


def seat_of_a_released_place():
    drop(Enrollment, "seat_number")
    change(places("Late")[0], seat_number=8)


def seat_beyond_capacity():
    without_trigger(Enrollment.objects.filter(pk=places("Paid")[0].pk), seat_number=99)


def seat_number_zero():
    drop(Enrollment, "seat_number")
    change(places("Paid")[0], seat_number=0)


def seat_sold_twice():
    drop(Enrollment, "seat_number")
    move_place("Paid", 0, places("Disputed")[0].course)


def move_place(name, index, course, **columns):
    """As if it had been bought there from the start."""
    place = places(name)[index]
    OrderItem.objects.filter(enrollment=place).update(course=course)
    change(place, course=course, **columns)


def child_twice_in_a_class():
    drop(Enrollment, "child_id")
    drop(OrderItem, "child_id")
    move_place("Paid", 1, places("Paid")[0].course, seat_number=7)


def hold_without_end():
    drop(Enrollment, "expires_at")
    change(places("Unpaid")[0], expires_at=None)


def forgotten_hold():
    change(places("Unpaid")[0], expires_at=Now() - 3 * HOUR)


def offer(index, *, reason, until=HOUR):
    course = full_class()
    change(course, capacity=2)
    place = Enrollment.objects.filter(course=course, status="waitlisted").order_by("joined_at")[index]
    place.offer(seat_number=2, until=timezone.now() + until, by=None, reason=reason)


def forgotten_offer():
    offer(0, reason=IN_ORDER, until=-3 * HOUR)


def end_of_what_has_none():
    drop(Enrollment, "expires_at")
    change(places("Paid")[0], expires_at=Now() + DAY)


def offer_past_the_line():
    offer(1, reason=IN_ORDER)


def offer_past_the_line_without_a_word():
    offer(1, reason="")


def offer_past_priority():
    second = places("Second")[0]
    change(second, tier="priority", priority_at=timezone.now())
    move(second, "waitlisted")
    offer(0, reason=IN_ORDER)


def waiting_without_a_rank():
    drop(Enrollment, "joined_at")
    change(places("Second")[0], joined_at=None)


def idle_seat():
    course = full_class()
    change(course, capacity=2)
    rows = EnrollmentTransition.objects.filter(enrollment__course=course)
    without_trigger(rows, created_at=Now() - HOUR)


def place_in_a_class_long_over():
    end(places("Paid")[0].course)


def end(course):
    Course.objects.filter(pk=course.pk).update(
        starts_on=F("starts_on") - 120 * DAY, ends_on=F("ends_on") - 150 * DAY
    )


def order_open_long_after_its_classes():
    for place in places("Paid"):
        end(place.course)
        move(place, "completed", seat_number=None)


# --- States -------------------------------------------------------------------------------------------------


def place_that_jumped():
    change(places("Paid")[0], status="completed", seat_number=None)


def place_that_made_an_illegal_move():
    for before, after in (("active", "held"), ("held", "active")):
        EnrollmentTransition.objects.create(enrollment=places("Paid")[0], from_status=before, to_status=after)


def order_with_a_gap_in_its_history():
    OrderTransition.objects.create(
        order=order_of("Paid"), from_status="completed", to_status="confirmed", reason="extended"
    )


def order_that_jumped():
    change(order_of("Late"), status="cancelled")


# --- Lines --------------------------------------------------------------------------------------------------


def wrong_price_of_a_line():
    drop(OrderItem, "list_cents")
    item = order_of("Paid").items.first()
    change(item, list_cents=item.list_cents + 1)


def wrong_total():
    item = order_of("Paid").items.first()
    change(item, list_cents=item.list_cents - 100, net_cents=item.net_cents - 100)


def code_above_its_limit():
    drop(PromoRedemption, "number")
    PromoRedemption.objects.update(number=6)


def code_above_a_limit_that_nobody_noted():
    PromoRedemption.objects.update(number=6, limit=None)


def number_of_a_code_taken_twice():
    drop(PromoRedemption, "number")
    used = PromoRedemption.objects.get()
    PromoRedemption.objects.create(
        promo_code=used.promo_code, order=order_of("Paid"), number=used.number, limit=used.limit
    )


def code_used_twice_for_a_class():
    drop(PromoUse, "course_id")
    course = places("Promo")[0].course
    move_place("Promo", 1, course, seat_number=2)
    PromoUse.objects.update(course=course)


def code_used_for_another_class():
    change(PromoUse.objects.first(), course=create_course())


def code_used_for_another_family():
    change(PromoUse.objects.first(), household=family("Paid"))


def reduced_without_a_use():
    PromoUse.objects.all().delete()
    PromoRedemption.objects.all().delete()


def confirmed_and_unpaid():
    order_of("Unpaid").confirm(reason="paid")


def enrolled_without_an_order():
    Enrollment.objects.create(
        child=family("Unpaid").children.get(), course=create_course(), status="active", seat_number=1
    )


def held_without_an_order():
    Enrollment.objects.create(
        child=family("Unpaid").children.get(),
        course=create_course(),
        status="held",
        seat_number=1,
        expires_at=timezone.now() + HOUR,
    )


def line_without_a_place():
    order = order_of("Paid")
    child = family("Paid").children.last()
    OrderItem.objects.create(order=order, child=child, course=create_course(), list_cents=0, net_cents=0)


def paid_order_with_a_held_place():
    order, first = order_of("Unpaid"), part("Unpaid", 1)
    move(first.attempts.get(), "succeeded", session_closed_at=Now())
    move(first, "paid")
    move(order, "confirmed")
    Payment.objects.create(
        order=order,
        installment=first,
        amount_cents=first.amount_cents,
        currency="usd",
        stripe_payment_intent_id="pi_planted",
        received_at=timezone.now(),
    )


def unpaid_order_without_its_hold():
    places("Unpaid")[0].release(reason="a test")


def completed_while_a_place_goes_on():
    order_of("Paid").end("completed", reason="a test")


def place_of_another_child():
    change(places("Paid")[0], child=family("Paid").children.last())


def place_in_another_class():
    change(places("Paid")[0], course=create_course())


def given_up_without_a_cancellation():
    places("Paid")[0].cancel(by=None, reason="a test")


def moved_without_a_transfer():
    move(places("Paid")[0], "transferred", seat_number=None)


# --- People -------------------------------------------------------------------------------------------------


def child_of_another_family():
    child = family("Dunned").children.get()
    OrderItem.objects.filter(order=order_of("Unpaid")).update(child=child)
    change(places("Unpaid")[0], child=child)


def placed_by_another_family():
    change(order_of("Unpaid"), placed_by=guardian("Paid"))


def address_never_confirmed():
    EmailAddress.objects.filter(user=guardian("Paid")).update(verified=False)


def nobody_who_can_sign_in():
    user = guardian("Unpaid")
    note_change_by_staff(user)
    change(user, household=None)


PLANTS = {
    "S1 places that need a seat and have none": [enrolled_without_seat],
    "S1 places that need no seat and have one": [seat_of_a_released_place],
    "S2 seats beyond the capacity": [seat_beyond_capacity, seat_number_zero],
    "S2 seats sold twice (class, seat)": [seat_sold_twice],
    "S3 children twice in a class (child, class)": [child_twice_in_a_class],
    "S4 holds and offers without an end": [hold_without_end],
    "S4 holds and offers that ended long ago": [forgotten_hold, forgotten_offer],
    "S4 places with an end that have none": [end_of_what_has_none],
    "S5 offers that skipped someone who waited longer": [
        offer_past_the_line,
        offer_past_the_line_without_a_word,
        offer_past_priority,
    ],
    "S5 places on the waitlist without a rank": [waiting_without_a_rank],
    "S7 classes with a free seat that no waiting family is offered": [idle_seat],
    "Y1 places in classes that ended long ago": [place_in_a_class_long_over],
    "Y1 orders still open though their classes ended long ago": [order_open_long_after_its_classes],
    "M13 enrollments in a state that they cannot be in": [place_that_jumped, place_that_made_an_illegal_move],
    "M13 orders in a state that they cannot be in": [order_with_a_gap_in_its_history, order_that_jumped],
    "M2 order lines whose price does not add up": [wrong_price_of_a_line],
    "M2 orders whose total is not the sum of their lines": [wrong_total],
    "M2 promo codes used above their limit": [code_above_its_limit, code_above_a_limit_that_nobody_noted],
    "M2 uses of a promo code that share a number": [number_of_a_code_taken_twice],
    "M2 promo codes used twice for a class": [code_used_twice_for_a_class],
    "M2 uses of a promo code for another order, family or class": [
        code_used_for_another_class,
        code_used_for_another_family,
    ],
    "M2 lines reduced by a promo code without a recorded use": [reduced_without_a_use],
    "S6 confirmed orders whose first part is not paid": [confirmed_and_unpaid],
    "S6 places without an active order": [enrolled_without_an_order, held_without_an_order],
    "S6 lines of active orders without their place": [
        line_without_a_place,
        paid_order_with_a_held_place,
        unpaid_order_without_its_hold,
    ],
    "S6 completed orders with places that are not completed": [completed_while_a_place_goes_on],
    "S6 lines whose place is of another child or class": [place_of_another_child, place_in_another_class],
    "S6 places given up without a cancellation or a move": [
        given_up_without_a_cancellation,
        moved_without_a_transfer,
    ],
    "P1 order lines for a child of another family": [child_of_another_family],
    "P1 orders placed by a member of another family": [placed_by_another_family],
    "P1 orders by someone who never confirmed their email address": [address_never_confirmed],
    "P1 families with orders and no one who can sign in": [nobody_who_can_sign_in],
}
