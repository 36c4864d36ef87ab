"""Promo codes through the pages: which apply, how often, and who gets the last use of one."""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.db import connection, models
from django.db.utils import IntegrityError
from django.utils import timezone

from billing.checkout.holds import end_unpaid_order
from billing.checkout.place_order import place_order
from csf.dates import local_date
from enrollments.models import Program
from orders.cart import add_to_cart, apply_promo
from orders.models import OrderStatus, PromoCode, PromoRedemption, PromoUse, cart_of
from orders.prices import promos
from orders.refusal import OrderRefused
from tests.factories import create_cart, create_child, create_course, create_household
from tests.pages import parent_of, words
from tests.rivals import all_past, at_once

DAY = timedelta(days=1)


def today():
    return local_date(timezone.now())


def place(order):
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now())
    return order


def type_code(household, text):
    return parent_of(household).post("/cart/", {"code": text}, follow=True)


def fill_cart(household, *lines, code=None):
    """A cart with these (child, class) pairs, and the code on it."""
    for child, course in lines:
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    cart = cart_of(household)
    if code:
        apply_promo(cart=cart, text=code, on=today())
    return cart_of(household)


@pytest.mark.django_db
@pytest.mark.parametrize("typed", ["SUMMER10", "summer10", " Summer10 ", "sUMMER10\t"])
def test_a_code_is_taken_in_any_case_and_takes_its_part_off(typed):
    PromoCode.objects.create(code="SUMMER10", percent_bps=1000)
    order = create_cart(courses=[create_course(price_cents=14400)])

    page = type_code(order.household, typed)

    assert "Promo code SUMMER10 was added to your cart." in words(page)
    assert "$129.60" in words(page)
    order.refresh_from_db()
    place(order)
    assert (order.total_cents, order.items.get().promo_cents) == (12960, 1440)
    assert PromoRedemption.objects.get().number == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "typed", "says"),
    [
        ({}, "SUMMER1", "This code is not valid."),
        ({}, "SUMMER10' OR 1=1 --", "This code is not valid."),
        ({}, "", "Enter a code."),
        ({}, "SUMMER10\x00", "Null characters are not allowed"),
        ({"is_active": False}, "SUMMER10", "This code is not valid."),
        ({"starts_on": DAY}, "SUMMER10", "This code is not valid."),
        ({"ends_on": -DAY}, "SUMMER10", "This code is not valid."),
        ({"max_orders": 0}, "SUMMER10", "This code has reached its limit."),
    ],
)
def test_a_code_that_does_not_apply_is_refused_in_words_and_changes_no_price(fields, typed, says):
    dates = {name: today() + value for name, value in fields.items() if isinstance(value, timedelta)}
    PromoCode.objects.create(code="SUMMER10", percent_bps=1000, **fields | dates)
    order = create_cart(courses=[create_course(price_cents=14400)])

    page = type_code(order.household, typed)

    assert says.lower() in words(page).lower()
    assert "$144.00" in words(page)
    order.refresh_from_db()
    assert order.promo_code is None
    place(order)
    assert order.total_cents == 14400


@pytest.mark.django_db
def test_first_and_last_day_count():
    PromoCode.objects.create(code="TODAY", percent_bps=5000, starts_on=today(), ends_on=today())
    order = create_cart(courses=[create_course(price_cents=14400)])

    type_code(order.household, "today")

    order.refresh_from_db()
    assert place(order).total_cents == 7200


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"is_active": False}, {"ends_on": -DAY}], ids=["switched off", "over"])
def test_a_code_that_ended_since_the_checkout_page_refuses_the_order_at_the_old_price(change):
    code = PromoCode.objects.create(code="SUMMER10", percent_bps=1000)
    order = create_cart(courses=[create_course(price_cents=14400)])
    type_code(order.household, "SUMMER10")
    dates = {name: today() + value for name, value in change.items() if isinstance(value, timedelta)}
    PromoCode.objects.filter(pk=code.pk).update(**change | dates)

    form = {"order": str(order.public_id), "total": "12960"}
    page = parent_of(order.household).post("/checkout/", form, follow=True)

    assert "The price has changed" in words(page)
    assert "$144.00" in words(page)
    order.refresh_from_db()
    assert order.status == "draft"
    assert not PromoUse.objects.exists()


@pytest.mark.django_db
def test_a_code_for_a_program_leaves_other_programs_alone():
    dance = Program.objects.create(name="Dance")
    PromoCode.objects.create(code="DANCE", percent_bps=2000, program=dance)
    household = create_household()
    child = household.children.get()
    swim, ballet = create_course(price_cents=10000), create_course(price_cents=8000, program=dance)

    order = place(fill_cart(household, (child, swim), (child, ballet), code="dance"))

    assert {item.course: item.promo_cents for item in order.items.all()} == {swim: 0, ballet: 1600}
    assert PromoUse.objects.get().course == ballet


@pytest.mark.django_db
def test_a_code_that_reduces_nothing_is_not_used_up_by_it():
    dance = Program.objects.create(name="Dance")
    PromoCode.objects.create(code="DANCE", percent_bps=2000, program=dance, max_orders=1)
    order = create_cart(courses=[create_course(price_cents=14400)])
    type_code(order.household, "DANCE")
    order.refresh_from_db()

    assert place(order).total_cents == 14400
    assert not PromoRedemption.objects.exists()


@pytest.mark.django_db
def test_a_household_uses_a_code_once_for_a_class_over_two_orders():
    PromoCode.objects.create(code="SUMMER10", percent_bps=1000)
    household = create_household(ages=[9])
    first, second = household.children.get(), create_child(household=household, age=8)
    swim, other = create_course(price_cents=10000), create_course(price_cents=10000)
    place(fill_cart(household, (first, swim), code="SUMMER10"))

    order = place(fill_cart(household, (second, swim), (first, other), code="SUMMER10"))

    # 25 % off for the sibling in the same class, the code only for the other class
    assert {item.course: (item.sibling_cents, item.promo_cents) for item in order.items.all()} == {
        swim: (2500, 0),
        other: (0, 1000),
    }
    assert sorted(PromoRedemption.objects.values_list("number", flat=True)) == [1, 2]
    stranger = create_household()
    theirs = place(fill_cart(stranger, (stranger.children.get(), swim), code="SUMMER10"))
    assert theirs.items.get().promo_cents == 1000


@pytest.mark.django_db
def test_the_database_refuses_a_second_use_for_class_and_household():
    PromoCode.objects.create(code="SUMMER10", percent_bps=1000)
    household = create_household()
    order = place(fill_cart(household, (household.children.get(), create_course()), code="SUMMER10"))
    later = create_cart(household=household)
    use = PromoUse.objects.get()

    with pytest.raises(IntegrityError, match="once_a_class_and_household"):
        PromoUse.objects.create(
            redemption=order.promo_redemption,
            item=later.items.get(),
            promo_code=use.promo_code,
            household=household,
            course=use.course,
        )


@pytest.mark.django_db
def test_a_code_used_up_by_another_family_meanwhile_refuses_the_order_until_it_is_removed():
    PromoCode.objects.create(code="ONCE", percent_bps=1000, max_orders=1)
    slow = create_cart(courses=[create_course(price_cents=14400)])
    quick = create_cart(courses=[create_course()])
    for order in (slow, quick):
        type_code(order.household, "ONCE")
        order.refresh_from_db()
    place(quick)
    client = parent_of(slow.household)
    form = {"order": str(slow.public_id), "total": "12960"}

    page = client.post("/checkout/", form, follow=True)

    assert "The promo code has reached its limit. Remove it to continue." in words(page)
    client.post("/cart/", {"remove": "1"})
    slow.refresh_from_db()
    assert place(slow).total_cents == 14400


@pytest.mark.django_db
@pytest.mark.parametrize("to", [OrderStatus.CANCELLED, OrderStatus.EXPIRED])
def test_an_order_that_is_released_gives_its_use_back(to):
    PromoCode.objects.create(code="ONCE", percent_bps=1000, max_orders=1)
    household, rival = create_household(), create_cart().household
    course = create_course(price_cents=10000)
    order = place(fill_cart(household, (household.children.get(), course), code="ONCE"))
    assert "This code has reached its limit." in words(type_code(rival, "once"))

    end_unpaid_order(order=order, to=to, reason="not paid")

    assert not PromoUse.objects.exists()
    again = place(fill_cart(household, (household.children.get(), course), code="ONCE"))
    assert (again.total_cents, PromoRedemption.objects.get().order) == (9000, again)


RIVALS = 32


def carts_with_the_same_code():
    """32 families, each with a class of its own, and one code for one order."""
    PromoCode.objects.create(code="ONCE", percent_bps=1000, max_orders=1)
    orders = [create_cart(courses=[create_course(price_cents=10000)]) for _ in range(RIVALS)]
    for order in orders:
        apply_promo(cart=order, text="ONCE", on=today())
        order.refresh_from_db()
    return orders


def placed_at_once(orders):
    """What the orders cost, or how they were refused."""
    came_to = at_once(*(partial(place, order) for order in orders), lost=(OrderRefused,))
    return Counter("refused" if isinstance(row, OrderRefused) else row.total_cents for row in came_to)


@pytest.mark.xdist_group("races")
def test_of_32_families_one_gets_the_last_use_of_a_code(committed_db):
    assert placed_at_once(carts_with_the_same_code()) == {9000: 1, "refused": RIVALS - 1}
    assert PromoRedemption.objects.count() == PromoUse.objects.count() == 1


@pytest.mark.xdist_group("races")
def test_without_its_guards_a_code_is_used_too_often(committed_db, monkeypatch):
    """The negative control: with lock and index gone each of them sees a use left and takes it."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_promoredemption DROP CONSTRAINT orders_promoredemption_number")
    real = models.QuerySet.select_for_update

    def unlocked(self, **options):
        return self if self.model is PromoCode else real(self, **options)

    monkeypatch.setattr(models.QuerySet, "select_for_update", unlocked)
    carts = carts_with_the_same_code()
    monkeypatch.setattr(promos, "_free_number", all_past(RIVALS, promos._free_number))

    assert placed_at_once(carts) == {9000: RIVALS}
    assert PromoRedemption.objects.count() == RIVALS


def test_codes_are_not_guessed_one_after_the_other():
    household = create_household()
    fill_cart(household, (household.children.get(), create_course()))
    PromoCode.objects.create(code="SPRING", percent_bps=1000)

    with time_machine.travel(timezone.now(), tick=False):  # the limit is one of a minute
        answers = [words(type_code(household, f"GUESS{number}")) for number in range(15)]
        right = words(type_code(household, "SPRING"))

    assert "This code is not valid." in answers[9]
    assert "That was too many codes." in answers[10]
    assert "That was too many codes." in right
    other = create_household()
    fill_cart(other, (other.children.get(), create_course()))
    assert "Promo code SPRING was added to your cart." in words(type_code(other, "SPRING"))
