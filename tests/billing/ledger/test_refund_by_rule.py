"""Refunds within the promised days that the owner lets go back without a person, up to a limit."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.models import Dispute, Payment, Refund, Terms
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from tests.billing.cancelling import confirm_on_page, give_up, places, two_children
from tests.factories import create_household, create_staff
from tests.pages import parent_of, words

pytestmark = pytest.mark.django_db


def states():
    return list(Refund.objects.order_by("pk").values_list("amount_cents", "status", "approved_by"))


def tasks():
    return sorted(StaffTask.objects.open().values_list("kind", flat=True))


@pytest.fixture
def order(shop):
    """Two children in a class of 144.00: 144.00 and 108.00."""
    return two_children(shop)


def test_it_is_off_unless_the_owner_switches_it_on(order):
    give_up(places(order)[0])

    assert [state for _, state, _ in states()] == ["requested"]
    assert tasks() == ["refund_to_approve"]


def test_within_the_limit_the_money_goes_back_at_once_and_is_recorded_as_by_rule(order, settings):
    settings.REFUND_BY_RULE_CENTS = 20_000

    page, answer = confirm_on_page(parent_of(order.household), places(order)[0])

    assert "$144.00 will be refunded to Visa ending in 4242 right away." in words(page)
    assert "$144.00 will be refunded to Visa ending in 4242 right away." in words(answer)
    assert states() == [(14400, "approved", None)]
    assert Refund.objects.get().is_by_rule
    [approved] = Refund.objects.get().transitions.filter(to_status="approved")
    assert (approved.by, approved.reason) == (None, "by rule: within the policy, up to $200.00 an order")
    assert tasks() == ["refund_by_system"]
    [email] = EmailMessage.objects.filter(kind="cancellation_confirmation")
    assert [refund["is_approved"] for refund in email.context["refunds"]] == [True]
    assert violations() == []


@pytest.mark.parametrize(
    ("by_rule_cents", "two_person_cents", "second"),
    [(20_000, 50_000, "requested"), (25_200, 50_000, "approved"), (30_000, 20_000, "requested")],
)
def test_the_sum_of_the_order_counts_and_never_more_than_what_one_person_may_approve(
    order, settings, by_rule_cents, two_person_cents, second
):
    settings.REFUND_BY_RULE_CENTS, settings.REFUND_TWO_PERSON_CENTS = by_rule_cents, two_person_cents

    for place in places(order):
        give_up(place)

    assert [state for _, state, _ in states()] == ["approved", second]


def by_staff(order):
    terms = {"reason": "kind", "now": timezone.now(), "terms": Terms.REFUND}
    cancel_enrollment(enrollment=places(order)[0], by=create_staff(), **terms)


def too_late(order):
    with time_machine.travel(timezone.now() + timedelta(days=16)):
        give_up(places(order)[0], terms=Terms.REFUND)


def disputed(order):
    payment = Payment.objects.get(order=order)
    cents, now = payment.amount_cents, timezone.now()
    about = {"payment": payment, "amount_cents": cents, "currency": "usd", "opened_at": now}
    Dispute.objects.create(stripe_id="dp_1", status="needs_response", **about)
    give_up(places(order)[0])


@pytest.mark.parametrize("act", [by_staff, too_late, disputed])
def test_what_is_not_the_familys_own_right_waits_for_a_person(order, settings, act):
    settings.REFUND_BY_RULE_CENTS = 50_000

    act(order)

    assert [state for _, state, _ in states()] == ["requested"]


def test_the_page_of_a_strangers_order_shows_no_rule(order, settings):
    settings.REFUND_BY_RULE_CENTS = 50_000
    url = f"/account/enrollments/{places(order)[0].public_id}/cancel/"

    assert parent_of(create_household()).get(url).status_code == 404
