"""Filling the cart. What is refused here is checked again, under locks, when the order is placed."""

import datetime

from csf.dates import local_date
from enrollments.models import Child, Course, Household
from orders.models import Order, OrderItem, OrderStatus, PromoCode, cart_of
from orders.prices.promos import find_code
from orders.refusal import OrderRefused


def check_line(*, child: Child, course: Course, now: datetime.datetime) -> None:
    """Raises OrderRefused unless this child may take this class: window, age at the first day, not enrolled
    yet, and someone to call about the child."""
    if course.cancelled_at:
        raise OrderRefused(f"{course} is cancelled.")
    if not course.is_open_at(now):
        if course.is_published and now < course.registration_opens_at:
            opens_on = local_date(course.registration_opens_at)
            raise OrderRefused(f"Registration for {course} opens on {opens_on:%B} {opens_on.day}.")
        raise OrderRefused(f"Registration for {course} is closed.")
    if course.has_ended(local_date(now)):
        raise OrderRefused(f"{course} has ended.")
    if course.meetings() and not course.sessions_left(now)[0]:
        raise OrderRefused(f"{course} has no sessions left.")
    age = child.age_on(course.starts_on)
    if not course.fits_age(age):
        raise OrderRefused(
            f"{course} is for ages {course.age_min} to {course.age_max}; "
            f"{child.first_name} will be {age} when it starts."
        )
    if child.enrollments.blocking().filter(course=course).exists():
        raise OrderRefused(f"{child.first_name} already has a place in {course}.")
    if not child.emergency_contacts.exists():
        raise OrderRefused(
            f"Please add an emergency contact for {child.first_name} first: under “My account”, “Children”."
        )


def add_to_cart(*, household: Household, child: Child, course: Course, now: datetime.datetime) -> OrderItem:
    """Put a line into the cart; a repeat returns the same line. Raises OrderRefused."""
    check_line(child=child, course=course, now=now)
    item, _ = OrderItem.objects.get_or_create(order=cart_of(household), child=child, course=course)
    return item


def remove_from_cart(*, cart: Order, item: OrderItem) -> None:
    cart.items.filter(pk=item.pk, enrollment=None).delete()


def apply_promo(*, cart: Order, text: str, on: datetime.date) -> PromoCode:
    """Store the code in the cart; each quote works out what it takes off. Raises OrderRefused."""
    code = find_code(text, on=on)
    Order.objects.filter(pk=cart.pk, status=OrderStatus.DRAFT).update(promo_code=code)
    return code


def drop_promo(*, cart: Order) -> None:
    Order.objects.filter(pk=cart.pk, status=OrderStatus.DRAFT).update(promo_code=None)
