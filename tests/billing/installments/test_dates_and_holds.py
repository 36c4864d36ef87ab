"""Staff change an installment: its card is charged neither before the agreed date nor while it is held."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.checkout.place_order import place_order
from billing.installments.dunning import candidates
from billing.installments.staff_actions import hold, move_date, record_offline, retry_now, split
from billing.models import Installment, PaymentMethod, PaymentPlan
from csf.refusal import NotPossible
from tests.factories import create_card, create_cart, create_staff
from tests.shop import DUE

pytestmark = pytest.mark.django_db


@pytest.fixture
def part():
    """The second of two, due in a month, with a saved card."""
    order = create_cart()
    plan = PaymentPlan.objects.create(name="2 parts", parts=2)
    place_order(order=order, by=order.household.lead, now=timezone.now(), plan=plan)
    order.installments.get(number=1).pay(reason="at the desk")
    order.confirm(reason="paid")
    create_card(order)
    return order.installments.get(number=2)


def given(part):
    return {"installment": part, "by": create_staff(), "reason": "the office decides"}


def test_no_card_is_charged_before_the_date_that_the_family_agreed_to(part):
    today, agreed_on = timezone.localdate(), part.due_on
    with pytest.raises(NotPossible, match="not before"):
        retry_now(**given(part), on=today)
    with pytest.raises(NotPossible, match="not before"):
        move_date(**given(part), to=agreed_on - timedelta(days=1), on=today)

    move_date(**given(part), to=agreed_on + timedelta(days=300), on=today)  # typed wrong
    move_date(**given(part), to=agreed_on, on=today)

    part.refresh_from_db()
    assert (part.status, part.due_on) == ("scheduled", agreed_on)
    assert candidates(DUE, on=agreed_on - timedelta(days=1)) == []
    assert [found.reason for found in candidates(DUE, on=agreed_on)] == [""]


def split_in_two(part):
    later = part.due_on + timedelta(days=7)
    split(**given(part), first_cents=part.amount_cents // 2, second_on=later)


def paid_in_part(part):
    record_offline(**given(part), cents=2000, method=PaymentMethod.CASH, received_at=timezone.now())


@pytest.mark.parametrize("replace", [split_in_two, paid_in_part])
def test_what_takes_the_place_of_a_held_installment_is_held(part, replace):
    hold(**given(part))

    replace(part)

    new = Installment.objects.open().filter(order=part.order)
    assert new.exists()
    assert not new.filter(held_at=None).exists()
    found = candidates(DUE, on=part.due_on + timedelta(days=7))
    assert {candidate.reason for candidate in found} == {"on hold"}
