"""Giving up a paid place: what the page says comes true, in rows, at Stripe and in the email."""

import datetime
from datetime import timedelta

import pytest
import requests
from django.urls import reverse
from django.utils import timezone

from billing.changes import cancellation
from billing.changes.cancellation import outcome_of, refund_until, settle_waiting_cancellations
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.models import Cancellation, ChargeAttempt, Credit, Payment, Refund, Terms
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from orders.models import Order
from tests.billing.cancelling import confirm_on_page, figures, give_up, parts_of, places, two_children
from tests.factories import create_household, create_order
from tests.hosted_page import invoice_page
from tests.pages import parent_of, words
from tests.shop import DUE, VISA, hear, money_moved, script

# --- The page -----------------------------------------------------------------------------------------------


def test_one_of_two_children_with_a_plan_half_paid(shop):
    order = two_children(shop, parts=2)
    total, net = order.total_cents, [item.net_cents for item in order.items.order_by("pk")]
    half = total // 2
    second = order.installments.get(number=2)
    client = parent_of(order.household)
    place = places(order)[1]

    page, after = confirm_on_page(client, place)

    value, left = net[1], half - net[1]
    assert total == sum(net)
    said = words(page)
    assert f"you get the full price of ${value / 100:.2f} back" in said
    assert f"${left / 100:.2f} instead of ${half / 100:.2f}" in said
    assert "goes back to" not in said  # nothing was paid beyond what is still owed
    done = Cancellation.objects.get()
    assert figures(done) == ("settled", value, 0, 0)
    assert parts_of(order) == [(half, "paid"), (half, "cancelled"), (left, "scheduled")]
    assert f"${value / 100:.2f} will no longer be charged." in after.text
    assert order.installments.get(number=3).due_on == second.due_on
    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert mail.context["stops"] == [{"due_on": second.due_on.isoformat(), "cents": half, "left_cents": left}]
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert violations() == []


def test_paid_in_full_goes_back_to_the_card_and_the_last_place_ends_the_order(shop):
    order = two_children(shop)
    first, second = places(order)
    client = parent_of(order.household)

    page, after = confirm_on_page(client, first)

    price = order.items.get(enrollment=first).net_cents
    assert (
        f"${price / 100:.2f} will be refunded to Visa ending in 4242 once our office has approved it."
        in words(page)
    )
    assert (
        f"${price / 100:.2f} will be refunded to Visa ending in 4242 once our office has approved it."
        in after.text
    )
    assert "Awaiting approval" in words(after)
    refund = Refund.objects.get()
    assert (refund.amount_cents, refund.status, refund.cause) == (price, "requested", "cancellation")
    assert StaffTask.objects.get().kind == "refund_to_approve"

    give_up(second)

    order.refresh_from_db()
    assert order.status == "cancelled"
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == order.total_cents
    assert EmailMessage.objects.filter(kind="cancellation_confirmation").count() == 2
    assert violations() == []


def test_a_page_with_old_figures_shows_the_new_ones_and_cancels_nothing(shop):
    order = two_children(shop)
    place = places(order)[0]
    client = parent_of(order.household)
    url = reverse("cancel_enrollment", args=[place.public_id])

    answer = client.post(url, {"fingerprint": "of other figures"})

    assert "Something has changed" in answer.text
    assert "will be refunded to Visa" in words(answer)
    place.refresh_from_db()
    assert place.status == "active"
    assert not Cancellation.objects.exists()


def test_pressing_twice_and_the_back_button_do_no_harm(shop):
    order = two_children(shop)
    place = places(order)[0]
    client = parent_of(order.household)
    url = reverse("cancel_enrollment", args=[place.public_id])
    fingerprint = outcome_of(enrollment=place, now=timezone.now()).fingerprint

    answers = [client.post(url, {"fingerprint": fingerprint}) for _ in range(3)]

    assert {answer.url for answer in answers} == {order.get_absolute_url()}
    assert client.get(url).url == order.get_absolute_url()
    assert (Cancellation.objects.count(), Refund.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("zone", "request_at", "terms"),
    [
        ("America/New_York", "2027-01-16T04:59:59+00:00", Terms.REFUND),  # the last second of day 15
        ("America/New_York", "2027-01-16T05:00:00+00:00", Terms.PRORATED),
        ("Asia/Tokyo", "2027-01-15T14:59:59+00:00", Terms.REFUND),
        ("Asia/Tokyo", "2027-01-15T15:00:00+00:00", Terms.PRORATED),
    ],
)
def test_the_full_price_goes_back_until_the_fifteenth_day_at_the_school(
    db, settings, zone, request_at, terms
):
    settings.SCHOOL_TIME_ZONE = zone
    order = create_order()
    Order.objects.update(placed_at=datetime.datetime(2026, 12, 31, 14, tzinfo=datetime.UTC))
    order.refresh_from_db()

    found = outcome_of(enrollment=places(order)[0], now=datetime.datetime.fromisoformat(request_at))

    assert refund_until(order) == datetime.date(2027, 1, 15)
    assert found.terms == terms


def test_after_the_fifteenth_day_what_is_left_becomes_credit(shop):
    order = two_children(shop)
    place = places(order)[0]
    price = order.items.get(enrollment=place).net_cents
    session = place.course.sessions.order_by("held_on")[3]
    late = session.starts_at + timedelta(hours=5)  # four of ten are over

    done = give_up(place, now=late)

    assert figures(done) == ("settled", 0, 0, round(price * 0.6))
    credit = Credit.objects.get()
    assert (credit.amount_cents, credit.cause) == (round(price * 0.6), "cancellation")
    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert mail.context["credit_until"] == credit.expires_on.isoformat()
    assert violations() == []


def test_what_was_used_of_a_plan_is_still_charged(shop):
    """One class in two parts, given up when nearly over: the order stands until what is owed is paid."""
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    place = places(order)[0]
    late = place.course.sessions.order_by("held_on")[7].starts_at + timedelta(hours=5)

    done = give_up(place, now=late)

    assert figures(done) == ("settled", 2880, 0, 0)
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert parts_of(order) == [(7200, "paid"), (7200, "cancelled"), (4320, "scheduled")]


# --- A charge at the same moment ----------------------------------------------------------------------------


def test_a_charge_in_flight_is_waited_for_and_then_refunded(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    start_charges(DUE, on=part.due_on)
    attempt = ChargeAttempt.objects.on_saved_cards().get()
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/pay", "kind": "drop_after"}])
    run_attempt(attempt.pk)
    attempt.refresh_from_db()
    assert attempt.status == "unknown"
    page, after = confirm_on_page(parent_of(household), places(order)[0])

    assert "$72.00 is being processed" in words(page)
    assert "We will email you the result" in after.text
    done = Cancellation.objects.get()
    assert done.status == "waiting"
    assert places(order)[0].status == "cancelled"  # the seat is free at once
    assert not EmailMessage.objects.filter(kind="cancellation_confirmation").exists()
    assert settle_waiting_cancellations() == 0

    shop.server.control("DELETE", "/_faults")
    ChargeAttempt.objects.update(next_look_at=timezone.now())
    run_attempt(attempt.pk)
    assert settle_waiting_cancellations() == 1

    done.refresh_from_db()
    assert figures(done) == ("settled", 0, 14400, 0)
    assert sorted(Refund.objects.values_list("amount_cents", flat=True)) == [7200, 7200]
    assert money_moved(shop, part) == [7200]
    assert EmailMessage.objects.get(kind="cancellation_confirmation").context["refund_cents"] == 14400
    assert violations() == []


def test_a_charge_that_was_not_sent_yet_never_is(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    start_charges(DUE, on=part.due_on)
    done = give_up(places(order)[0])
    assert done.status == "waiting"

    run_attempt(ChargeAttempt.objects.on_saved_cards().get().pk)
    assert settle_waiting_cancellations() == 1

    done.refresh_from_db()
    assert figures(done) == ("settled", 7200, 7200, 0)
    assert money_moved(shop, part) == []
    assert violations() == []


def test_an_open_invoice_is_void_before_the_money_is_settled(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    page = invoice_page(part)

    done = give_up(places(order)[0])

    assert figures(done) == ("settled", 7200, 7200, 0)
    part.refresh_from_db()
    assert gateway.retrieve_invoice(part.stripe_invoice_id)["status"] == "void"
    requests.post(page, data={"card": VISA}, timeout=60)  # the parent's tab was still open
    assert money_moved(shop, part) == []
    assert violations() == []


def test_an_invoice_paid_on_stripes_page_at_the_same_moment_is_refunded(shop, monkeypatch):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    part = order.installments.get(number=2)
    page = invoice_page(part)
    free = cancellation._free_the_seat

    def free_and_pay(*args, **options):
        done = free(*args, **options)
        shop.pay(page)
        return done

    monkeypatch.setattr(cancellation, "_free_the_seat", free_and_pay)

    done = give_up(places(order)[0])

    assert figures(done) == ("settled", 0, 14400, 0)
    hear(shop, "invoice.paid")
    assert sorted(Payment.objects.values_list("amount_cents", flat=True)) == [7200, 7200]
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == 14400
    assert violations() == []


def test_while_stripe_does_not_say_that_an_invoice_is_void_the_money_waits(shop):
    household = create_household(children=1)
    order = two_children(shop, parts=2, household=household)
    invoice_page(order.installments.get(number=2))
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/void", "kind": "error_before"}])

    done = give_up(places(order)[0])

    assert done.status == "waiting"
    assert parts_of(order) == [(7200, "paid"), (7200, "scheduled")]
    shop.server.control("DELETE", "/_faults")
    assert settle_waiting_cancellations() == 1
    done.refresh_from_db()
    assert figures(done) == ("settled", 7200, 7200, 0)


def test_a_declined_card_leaves_a_smaller_part_to_be_tried_anew(shop):
    order = two_children(shop, parts=2)
    part = order.installments.get(number=2)
    script(shop, part, "insufficient_funds")
    start_charges(DUE, on=part.due_on)
    run_attempt(ChargeAttempt.objects.on_saved_cards().get().pk)

    give_up(places(order)[1])

    open_one = order.installments.open().get()
    assert (open_one.status, open_one.due_on) == ("scheduled", part.due_on)
    assert gateway.retrieve_invoice(order.installments.get(number=2).stripe_invoice_id)["status"] == "void"
    start_charges(DUE, on=part.due_on)
    run_attempt(ChargeAttempt.objects.on_saved_cards().latest("pk").pk)
    open_one.refresh_from_db()
    assert open_one.status == "paid"
    assert money_moved(shop, open_one) == [open_one.amount_cents]
    assert violations() == []
