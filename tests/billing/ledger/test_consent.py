"""A saved card is only charged for what someone has agreed to, whatever has happened since."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.changes.transfer import transfer
from billing.checkout.place_order import place_order
from billing.installments.attempts import run_attempt
from billing.installments.dunning import candidates, start_charges
from billing.installments.staff_actions import move_date, retry_now, split
from billing.ledger.reductions import InstallmentCut, Reduction, apply_reduction
from billing.models import ChargeAttempt, Installment, PaymentPlan
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from enrollments.models import Enrollment
from orders.cart import add_to_cart
from orders.models import cart_of
from tests.factories import create_course, create_household, create_staff
from tests.shop import DUE, change_card, charge, hear, open_page, order_with_plan


def two_children_with_a_plan(shop):
    household = create_household(children=2)
    course = create_course(sessions=10)
    for child in household.children.order_by("pk"):
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    order = cart_of(household)
    plan = PaymentPlan.objects.create(name="80", parts=2, deposit_bps=8000)
    place_order(order=order, by=household.guardians.get(), now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    return order


def moved_without_agreement(order):
    """To a more expensive class: the family pays the difference itself. Gives the installment of it."""
    done = transfer(
        enrollment=Enrollment.objects.filter(order_item__order=order, status="active").earliest("pk"),
        course=create_course(price_cents=34400, sessions=10),
        by=create_staff(),
        reason="asked for it",
        now=timezone.now(),
    )
    return done.installment


def charged():
    return list(ChargeAttempt.objects.on_saved_cards().values_list("amount_cents", "status"))


def test_what_was_never_agreed_to_is_not_charged_after_it_was_shortened(shop):
    """A sibling's place is given up, so the difference gets smaller: another installment takes its place."""
    order = two_children_with_a_plan(shop)
    difference = moved_without_agreement(order)
    today = timezone.localdate()
    reasons = {found.installment.pk: found.reason for found in candidates(DUE, on=today)}
    assert reasons[difference.pk] == "no consent to later charges"
    sibling = Enrollment.objects.filter(order_item__order=order, status="active").earliest("pk")

    cancel_enrollment(enrollment=sibling, by=order.household.guardians.get(), reason="x", now=timezone.now())

    difference.refresh_from_db()
    smaller = Installment.objects.get(order=order, due_on=today, status="scheduled")
    assert (difference.status, smaller.amount_cents < difference.amount_cents) == ("cancelled", True)
    start_charges(DUE, on=today)
    charge()
    assert charged() == []


def shortened(part, staff):
    """As a cheaper class would."""
    apply_reduction(
        part.order, Reduction([InstallmentCut(part, part.amount_cents - 500)]), by=staff, reason="x"
    )


def split_in_two(part, staff):
    later = part.due_on + timedelta(days=7)
    half = part.amount_cents // 2
    split(installment=part, by=staff, reason="x", first_cents=half, second_on=later)


def put_off(part, staff):
    later = part.due_on + timedelta(days=7)
    move_date(installment=part, by=staff, reason="x", to=later, on=timezone.localdate())


@pytest.mark.parametrize("replace", [shortened, split_in_two, put_off])
@pytest.mark.parametrize("is_agreed", [True, False], ids=["agreed", "not agreed"])
def test_what_takes_the_place_of_an_installment_keeps_its_agreement(shop, replace, is_agreed):
    part = order_with_plan(shop)
    if not is_agreed:
        part = moved_without_agreement(part.order)
    Installment.objects.filter(order=part.order).open().exclude(pk=part.pk).update(held_at=timezone.now())

    replace(part, create_staff())

    new = list(Installment.objects.open().filter(order=part.order, held_at=None).order_by("number"))
    assert [found.consent for found in new] == [part.consent] * len(new)
    for found in new:
        start_charges(DUE, on=found.due_on)
    charge()
    assert charged() == [(found.amount_cents, "succeeded") for found in new if is_agreed]
    assert violations() == []


def test_no_button_charges_what_was_not_agreed_to(shop):
    """Neither "Charge now" of staff, nor that of a parent who saves another card."""
    part = order_with_plan(shop)
    difference = moved_without_agreement(part.order)
    with pytest.raises(NotPossible, match="has not agreed"):
        retry_now(installment=difference, by=create_staff(), reason="x", on=timezone.localdate())

    change_card(shop, part.order.household, charge_now="on")
    charge()

    difference.refresh_from_db()
    assert (charged(), difference.status) == ([], "scheduled")


def test_an_attempt_whose_agreement_is_missing_reaches_no_bank(shop):
    """Planted, as a restored or repaired row might be."""
    part = order_with_plan(shop)
    start_charges(DUE, on=part.due_on)
    Installment.objects.filter(pk=part.pk).update(consent=None)

    run_attempt(ChargeAttempt.objects.on_saved_cards().get().pk)

    assert charged() == [(part.amount_cents, "not_executed")]
    assert "M11" in {found.number for found in violations()}
