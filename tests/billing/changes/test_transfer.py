"""Moving a child to another class: what staff see before comes true, in rows, at Stripe and in the email."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing.changes import transfer as moving
from billing.changes.cancellation import cancel_enrollment, outcome_of
from billing.changes.transfer import quote_transfer
from billing.checkout.place_order import place_order
from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, Credit, InstallmentStatus, Terms
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from enrollments.classes.waitlist import join
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from orders.cart import add_to_cart
from orders.models import Order, OrderItem
from tests.billing.changes.moved_child import (
    AGREED,
    begin,
    enrolled,
    figures,
    fill_up,
    move,
    parts_of,
    rows,
    to,
    told,
)
from tests.factories import create_cart, create_child, create_course, create_household, create_staff
from tests.pages import parent_of, words
from tests.rivals import all_past, at_once
from tests.shop import DUE, charge, hear, money_moved, open_page, script

# --- What becomes of the money ------------------------------------------------------------------------------


def test_the_same_price_moves_the_seat_and_nothing_else(shop):
    old = enrolled(shop)
    new = to(12000)

    done = move(old, new)

    old.refresh_from_db()
    joined = Enrollment.objects.get(course=new)
    assert (old.status, old.seat_number, joined.status, joined.seat_number) == (
        "transferred",
        None,
        "active",
        1,
    )
    assert figures(done) == (0, 0, 0)
    item = OrderItem.objects.get(enrollment=joined)
    assert (item.moved_from.enrollment, item.net_cents, item.order.total_cents) == (old, 12000, 12000)
    assert not Credit.objects.exists()
    assert parts_of(done.order) == [(12000, "paid")]
    mail = told()
    assert (mail["old_course"], mail["course"], mail["pay_cents"]) == (old.course.title, new.title, 0)
    assert EmailMessage.objects.filter(kind="enrollment_confirmation").count() == 1  # of the first class
    assert violations() == []


def test_cheaper_and_paid_in_full_becomes_credit(shop):
    old = enrolled(shop)

    done = move(old, to(9000))

    assert figures(done) == (-3000, 0, 3000)
    credit = Credit.objects.get()
    assert (credit.amount_cents, credit.cause, credit.order) == (3000, "transfer", done.order)
    assert told()["credit_until"] == credit.expires_on.isoformat()
    assert not EmailMessage.objects.filter(kind="credit_added").exists()
    assert violations() == []


def test_cheaper_with_a_plan_first_shortens_what_is_open_from_the_last(shop):
    old = enrolled(shop, parts=3)

    done = move(old, to(5000))

    assert figures(done) == (-7000, 7000, 0)
    assert parts_of(done.order) == [
        (4000, "paid"),
        (4000, "cancelled"),
        (4000, "cancelled"),
        (1000, "scheduled"),
    ]
    assert [part["amount_cents"] for part in told()["left"]] == [1000]
    assert violations() == []


def test_dearer_with_consent_is_charged_to_the_saved_card_at_once(shop):
    old = enrolled(shop, parts=2)

    done = move(old, to(15000), consent=AGREED)
    charge()
    hear(shop, "invoice.paid")

    assert figures(done) == (3000, 0, 0)
    assert parts_of(done.order) == [(6000, "paid"), (6000, "scheduled"), (3000, "paid")]
    assert money_moved(shop, done.installment) == [3000]
    assert done.consent == AGREED
    assert (told()["card_last4"], told()["pay_path"]) == ("4242", "")
    assert violations() == []


def test_without_consent_nothing_is_charged_and_the_family_pays_by_its_link(shop):
    old = enrolled(shop, parts=2)

    done = move(old, to(15000))
    today = done.installment.due_on
    report = start_charges(DUE, on=today)

    assert (report.done, report.reasons) == (0, {"no consent to later charges": 1})
    assert not done.installment.attempts.exists()
    page = parent_of(done.order.household).post(told()["pay_path"])
    assert page.status_code == 302
    shop.pay(page.url)
    hear(shop, "payment_intent.succeeded")
    assert parts_of(done.order) == [(6000, "paid"), (6000, "scheduled"), (3000, "paid")]
    assert violations() == []


def test_declined_is_told_and_tried_again_as_agreed(shop):
    old = enrolled(shop, parts=2)
    done_order = old.order_item.order
    script(shop, done_order.installments.get(number=2), "insufficient_funds")

    done = move(old, to(15000), consent=AGREED)
    charge()

    done.installment.refresh_from_db()
    assert done.installment.status == "retry_wait"
    assert Enrollment.objects.get(pk=done.joined_id).status == "active"
    assert EmailMessage.objects.filter(kind="payment_failed").count() == 1
    assert start_charges(["retry_wait"], on=done.installment.next_try_on).done == 1
    charge()
    hear(shop, "invoice.paid")
    assert parts_of(done.order)[-1] == (3000, "paid")
    assert violations() == []


def test_without_a_card_the_family_pays_itself(shop):
    old = enrolled(shop)

    done = move(old, to(15000), consent=AGREED)

    assert parts_of(done.order) == [(12000, "paid"), (3000, "scheduled")]
    assert told()["pay_path"]
    assert not ChargeAttempt.objects.on_saved_cards().exists()
    assert violations() == []


def test_the_same_discounts_apply_in_proportion(shop):
    household = create_household(children=2)
    course = create_course(sessions=10, price_cents=10000)
    order = create_cart(household=household, courses=[course])
    second = household.children.order_by("pk")[1]
    add_to_cart(household=household, child=second, course=course, now=timezone.now())
    place_order(order=order, by=household.guardians.get(), now=timezone.now())
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    cheaper = order.items.order_by("net_cents")[0]
    assert cheaper.net_cents == 7500

    done = move(cheaper.enrollment, to(20000))

    item = OrderItem.objects.get(enrollment=done.joined)
    assert (item.list_cents, item.net_cents, done.difference_cents) == (20000, 15000, 7500)
    assert item.explanation == [{"label": f"The discounts of {course}, in proportion", "cents": 5000}]
    said = words(parent_of(household).get(order.get_absolute_url()))
    assert "Total $175.00" in said
    assert f"Moved to {item.course.title}" in said
    assert violations() == []


def test_of_a_class_that_has_begun_only_the_sessions_that_are_left_count(shop):
    old = enrolled(shop, price_cents=12000)
    new = to(10000)
    begin(new)  # 6 of 10 are left

    found = quote_transfer(enrollment=old, course=new, now=timezone.now())
    done = move(old, new)

    assert (found.sessions_left, found.sessions, found.list_cents) == (6, 10, 6000)
    assert figures(done) == (-6000, 0, 6000)
    assert told()["sessions"] == 6
    # Given up at once, nothing of these six sessions is lost.
    outcome = outcome_of(enrollment=done.joined, now=timezone.now(), terms=Terms.PRORATED)
    assert outcome.value_cents == 6000
    assert violations() == []


def test_what_was_used_of_the_old_class_is_not_given_back(shop):
    old = enrolled(shop, price_cents=12000)
    begin(old.course)
    Order.objects.filter(items__enrollment=old).update(placed_at=timezone.now() - timedelta(weeks=10))

    done = move(Enrollment.objects.get(pk=old.pk), to(12000))

    assert figures(done) == (12000 - 7200, 0, 0)
    assert violations() == []


def test_back_to_the_first_class(shop):
    old = enrolled(shop)
    first = old.course
    there = move(old, to(9000))

    back = move(there.joined, first)

    assert (figures(there), figures(back)) == ((-3000, 0, 3000), (3000, 0, 0))
    assert [item.course == first for item in back.order.items.order_by("pk")] == [True, False, True]
    assert Enrollment.objects.filter(status="active").get().course == first
    assert violations() == []


@pytest.mark.parametrize("price_cents", [9000, 15000], ids=["cheaper", "dearer"])
def test_cancelled_after_a_move_the_family_gets_what_it_paid(shop, price_cents):
    old = enrolled(shop, parts=2)
    done = move(old, to(price_cents), consent=AGREED)
    charge()
    hear(shop, "invoice.paid")
    family = done.order.household

    given_up = cancel_enrollment(
        enrollment=done.joined, by=family.guardians.get(), reason="x", now=timezone.now()
    )

    back = given_up.stopped_cents + given_up.refund_cents
    assert (given_up.terms, back, given_up.credit_cents) == ("refund", price_cents, 0)
    assert violations() == []


# --- Refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("course", "why"),
    [
        ({"age_min": 10}, "is for ages 10 to 12"),
        ({"capacity": 0}, "is full"),
        ({"cancelled_at": timezone.now()}, "has ended or was cancelled"),
    ],
    ids=["age", "full", "closed"],
)
def test_not_possible_in_words_and_nothing_is_changed(shop, course, why):
    old = enrolled(shop)
    new = to(12000, **course)
    before = rows()

    with pytest.raises(NotPossible, match=why):
        move(old, new)

    assert rows() == before


def test_the_last_seat_is_for_who_waits_and_the_seat_that_is_left_is_offered(shop):
    old = enrolled(shop, capacity=1)
    waiting_old = join(child=create_child(household=create_household()), course=old.course)
    new = to(12000, capacity=1)
    waiting_new = join(child=create_child(household=create_household()), course=new)

    with pytest.raises(NotPossible, match="is full"):
        move(old, new)
    Course.objects.filter(pk=new.pk).update(capacity=2)
    new.refresh_from_db()
    move(old, new)

    waiting_old.refresh_from_db()
    waiting_new.refresh_from_db()
    assert (waiting_old.status, waiting_new.status) == ("offered", "waitlisted")


def test_not_while_a_charge_is_under_way(shop):
    old = enrolled(shop, parts=2)
    second = old.order_item.order.installments.get(number=2)
    start_charges(DUE, on=second.due_on)
    before = rows()

    with pytest.raises(NotPossible, match="in progress"):
        move(old, to(9000))

    assert rows() == before


def test_a_move_that_fails_after_an_invoice_was_voided_leaves_a_payable_installment(shop, monkeypatch):
    old = enrolled(shop, parts=2)
    second = old.order_item.order.installments.get(number=2)
    script(shop, second, "insufficient_funds")
    start_charges(DUE, on=second.due_on)
    charge()
    new = to(9000)
    real = moving.void

    def void_then_fill(installment):
        closed = real(installment)
        fill_up(new)
        return closed

    monkeypatch.setattr(moving, "void", void_then_fill)
    with pytest.raises(NotPossible, match="is full"):
        move(old, new)

    order = old.order_item.order
    assert parts_of(order) == [(6000, "paid"), (6000, "retry_wait")]
    second.refresh_from_db()
    assert start_charges([InstallmentStatus.RETRY_WAIT], on=second.next_try_on).done == 1
    charge()
    hear(shop, "invoice.paid")
    assert parts_of(order) == [(6000, "paid"), (6000, "paid")]
    assert [found for found in violations() if found.number.startswith("M")] == []


def test_while_stripe_is_away_nothing_is_changed(shop):
    old = enrolled(shop, parts=2)
    second = old.order_item.order.installments.get(number=2)
    script(shop, second, "insufficient_funds")
    start_charges(DUE, on=second.due_on)
    charge()
    before = rows()
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*", "kind": "drop_before"}])

    with pytest.raises(NotPossible, match="did not answer"):
        move(old, to(9000))

    shop.server.control("DELETE", "/_faults")
    assert rows() == before


# --- At once ------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group("races")
@pytest.mark.parametrize("is_guarded", [True, False], ids=["locked", "not-locked"])
def test_two_moves_into_the_last_seat(committed_db, shop, monkeypatch, is_guarded):
    """Without the classes' locks both count the seat as free: only the database's index is left."""
    old = [enrolled(shop), enrolled(shop)]
    new = to(12000, capacity=1)
    office = create_staff()
    if not is_guarded:
        monkeypatch.setattr(moving, "seat_numbers_for_sale", all_past(2, moving.seat_numbers_for_sale))
        monkeypatch.setattr(moving, "_lock", lambda enrollment, course: enrollment.order_item.order)
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX enrollments_enrollment_seat_sold_once")

    moves = [lambda place=place: move(place, new, by=office) for place in old]
    came_to = at_once(*moves, lost=(NotPossible,))

    seated = Enrollment.objects.filter(course=new, status="active").count()
    if is_guarded:
        assert sorted(type(row).__name__ for row in came_to) == ["NotPossible", "Transfer"]
        assert seated == 1
        assert violations() == []
    else:
        assert seated == 2
