"""A family's credit: what the checkout offers is what is due, and no line of the account is ever too much."""

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing.checkout.holds import expire_holds
from billing.checkout.place_order import place_order
from billing.ledger import credits
from billing.ledger.credits import (
    NotEnoughCredit,
    expire_credits,
    give_back,
    grant,
    grants_left,
    spend,
    take_back,
)
from billing.models import Credit, CreditCause, Payment, PaymentPlan
from csf.dates import local_date
from csf.proofs.invariants import violations
from enrollments.models import User
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_cart, create_course, create_household
from tests.pages import parent_of, words
from tests.rivals import all_past, at_once
from tests.shop import hear, open_page

TODAY = local_date(timezone.now())


def give(household, cents, *, on=TODAY, reason="a gift"):
    return grant(household=household, cents=cents, cause=CreditCause.GRANTED, reason=reason, on=on)


def balance(household):
    return Credit.objects.filter(household=household).balance_cents()


def lines(household):
    return [(row.cause, row.amount_cents) for row in household.credits.order_by("pk")]


def place(order, **options):
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now(), **options)
    order.refresh_from_db()


def fields(page):
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


# --- The checkout -------------------------------------------------------------------------------------------


def test_credit_is_offered_used_by_default_and_what_is_due_is_what_the_page_says(shop):
    order = create_cart()
    family = order.household
    give(family, 4500)
    plan = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    client = parent_of(family)

    page = client.get(reverse("checkout"))

    said = words(page)
    assert "We use $45.00 of your $45.00 credit for this order." in said
    assert "Paid with your credit -$45.00" in said
    assert "To pay $99.00" in said
    assert "$49.50" in said
    assert "$144.00" in said
    assert "$72.00" not in said
    assert fields(page) | {"order": ""} == {"order": "", "total": "14400", "credit": "yes", "due": "9900"}

    answer = client.post(reverse("checkout"), fields(page) | {"plan": plan.pk})

    assert answer.status_code == 302
    assert [part.amount_cents for part in order.installments.all()] == [4950, 4950]
    assert "$49.50 on" in order.consent.text
    assert lines(family) == [("granted", 4500), ("spent", -4500)]
    shop.pay(answer.url)
    hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    assert order.status == "confirmed"
    said = words(client.get(order.get_absolute_url()))
    assert "Paid with your credit -$45.00" in said
    assert "Total after credit $99.00" in said
    assert violations() == []


def test_credit_that_pays_all_confirms_at_once_and_the_email_says_so(shop):
    order = create_cart()
    give(order.household, 20000)
    client = parent_of(order.household)

    page = client.get(reverse("checkout"))
    answer = client.post(reverse("checkout"), fields(page), follow=True)

    assert "Place order and pay" not in page.text
    assert "nothing left to pay" in words(page)
    order.refresh_from_db()
    assert (order.status, order.installments.count(), balance(order.household)) == ("confirmed", 0, 5600)
    assert "Thank you! Your order is confirmed" in answer.text
    mail = EmailMessage.objects.get(kind="order_confirmation").context
    assert (mail["credit_cents"], mail["schedule"], mail["held_until"]) == (14400, [], None)
    assert violations() == []


def test_a_family_may_keep_its_credit_for_another_time(shop):
    order = create_cart()
    give(order.household, 3000)
    client = parent_of(order.household)

    page = client.get(reverse("checkout"), {"credit": "no"})
    client.post(reverse("checkout"), fields(page))

    assert "This order does not use it." in words(page)
    assert "Place order and pay $144.00" in words(page)
    assert order.installments.get().amount_cents == 14400
    assert balance(order.household) == 3000


def test_without_credit_the_page_does_not_speak_of_it(shop):
    order = create_cart()

    page = parent_of(order.household).get(reverse("checkout"))

    assert "your credit" not in words(page).lower()


def test_nobody_pays_more_than_the_page_showed(shop):
    order = create_cart()
    family = order.household
    give(family, 3000)
    client = parent_of(family)
    page = client.get(reverse("checkout"))
    take_back(household=family, cents=2000, reason="a mistake", on=TODAY, by=family.guardians.get())

    answer = client.post(reverse("checkout"), fields(page), follow=True)

    assert "Your credit has changed since you saw it." in answer.text
    order.refresh_from_db()
    assert (order.status, order.installments.count()) == ("draft", 0)
    assert lines(family) == [("granted", 3000), ("taken_back", -2000)]


@pytest.mark.parametrize(
    ("has", "total", "used"),
    [(0, 100, 0), (100, 100, 100), (200, 100, 100), (99, 100, 50), (60, 100, 50), (50, 100, 50), (40, 49, 0)],
)
def test_what_is_left_to_pay_is_nothing_or_enough_for_a_card(settings, has, total, used):
    settings.MINIMUM_CHARGE_CENTS = 50

    choice = credits.CreditChoice(total, has, is_used=True)

    assert (choice.used_cents, choice.due_cents) == (used, total - used)


def test_an_order_that_ends_unpaid_gives_its_credit_back_and_late_money_goes_back(shop):
    order = create_cart()
    family = order.household
    give(family, 3000)
    place(order, use_credit=True)
    page = open_page(order)
    shop.pay(page)
    Order.objects.filter(pk=order.pk).update(held_until=timezone.now() - timedelta(hours=3))
    shop.server.control("POST", "/_faults", [{"path": "/v1/checkout/*", "kind": "drop_before"}])
    assert expire_holds(now=timezone.now())["waiting"] == 1  # the page might be paid
    shop.server.control("DELETE", "/_faults")
    assert lines(family) == [("granted", 3000), ("spent", -3000)]

    assert expire_holds(now=timezone.now())["paid"] == 1

    assert lines(family) == [("granted", 3000), ("spent", -3000)]
    other = create_cart(household=family, courses=[create_course()])
    give(family, 2000)
    place(other, use_credit=True)
    Order.objects.filter(pk=other.pk).update(held_until=timezone.now() - timedelta(hours=3))
    assert expire_holds(now=timezone.now())["expired"] == 1
    assert lines(family)[2:] == [("granted", 2000), ("spent", -2000), ("returned", 2000)]
    assert balance(family) == 2000
    assert violations() == []


def test_money_for_an_expired_order_whose_credit_is_back_is_refunded_and_seats_nobody(shop):
    order = create_cart()
    family = order.household
    give(family, 3000)
    place(order, use_credit=True)
    page = open_page(order)
    shop.pay(page)
    attempt = order.installments.get().attempts.get()
    # As if Stripe had said that the page was closed, and then taken the money after all.
    type(attempt).objects.filter(pk=attempt.pk).update(
        status="not_executed", session_closed_at=timezone.now()
    )
    order.installments.get().stop_charging(reason="the page closed")
    Order.objects.filter(pk=order.pk).update(held_until=timezone.now() - timedelta(hours=3))
    assert expire_holds(now=timezone.now())["expired"] == 1

    hear(shop, "payment_intent.succeeded")

    order.refresh_from_db()
    payment = Payment.objects.get()
    assert (order.status, payment.installment, payment.refunds.get().cause) == ("expired", None, "unmatched")
    assert balance(family) == 3000


# --- The account --------------------------------------------------------------------------------------------


def test_what_ends_first_is_spent_first_and_the_account_page_tells_all(shop, settings):
    settings.CREDIT_LIFE_DAYS = 365
    order = create_cart()
    family = order.household
    give(family, 5000, reason="later")
    give(family, 4000, on=TODAY - timedelta(days=300), reason="sooner")
    give(family, 3000, on=TODAY - timedelta(days=400), reason="too old")

    said = words(parent_of(family).get(reverse("account")))
    assert "Available for your next classes $90.00" in said
    place(order, use_credit=True)

    assert lines(family)[3:] == [("expired", -3000), ("spent", -9000)]
    said = words(parent_of(family).get(reverse("account")))
    assert "Available for your next classes $0.00" in said
    assert "sooner" in said
    assert f"Order {order.number}" in said
    assert "Expired" in said


def test_credit_ends_once_and_a_dry_run_changes_nothing(db, settings, capsys):
    settings.CREDIT_LIFE_DAYS = 10
    family, other = create_household(), create_household()
    give(family, 3000, on=TODAY - timedelta(days=11))
    give(family, 1000, on=TODAY - timedelta(days=10))
    give(other, 500, on=TODAY - timedelta(days=30))

    call_command("run_job", "expire_credits", "--dry-run")
    assert capsys.readouterr().out.count("  do Credit of") == 2
    assert balance(family) == 4000
    for _ in range(2):
        call_command("run_job", "expire_credits")

    assert capsys.readouterr().out.splitlines() == [
        f"expire_credits {TODAY}: done=2 skipped=0 failed=0",
        f"expire_credits {TODAY}: already done, nothing to do",
    ]
    assert lines(family) == [("granted", 3000), ("granted", 1000), ("expired", -3000)]
    assert (balance(other), expire_credits(on=TODAY).done) == (0, 0)
    assert violations() == []


def test_what_an_order_gives_back_after_its_end_ends_too(db, settings):
    settings.CREDIT_LIFE_DAYS = 10
    order = create_cart()
    family = order.household
    give(family, 20000, on=TODAY - timedelta(days=10))
    place(order, use_credit=True)
    expire_credits(on=TODAY + timedelta(days=1))
    assert lines(family)[2:] == [("expired", -5600)]

    give_back(order)
    expire_credits(on=TODAY + timedelta(days=1))

    assert lines(family)[3:] == [("returned", 14400), ("expired", -14400)]
    assert [found for found in violations() if found.number == "M15"] == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["give", "spend", "return", "take", "expire"]), st.integers(1, 5000)),
    max_size=14,
)


@given(steps=STEPS, gaps=st.lists(st.integers(0, 8), min_size=14, max_size=14))
@hypothesis_settings(max_examples=40)
def test_whatever_happens_the_account_adds_up(db, settings, steps, gaps):
    """Never below zero; what ends first goes first; what is left of the grants is the balance."""
    settings.CREDIT_LIFE_DAYS = 10
    family, day, orders = create_household(children=0), TODAY, []
    office = User.objects.filter(household=family).get()
    for (act, cents), gap in zip(steps, gaps, strict=False):
        day += timedelta(days=gap)
        before = {
            grant.credit.pk: grant.left_cents for grant in grants_left(family) if not grant.is_over(day)
        }
        match act:
            case "give":
                give(family, cents, on=day)
            case "spend":
                order = Order.objects.create(
                    household=family, currency="usd", origin="waitlist", total_cents=cents
                )
                spent = spend(order=order, total_cents=cents, on=day)
                left = {grant.credit.pk: grant.left_cents for grant in grants_left(family)}
                touched = [pk for pk in before if left[pk] < before[pk]]
                assert spent == sum(before.values()) - sum(left[pk] for pk in before) <= cents
                assert all(left[pk] == 0 for pk in touched[:-1])
                assert touched == [pk for pk in before if before[pk]][: len(touched)]
                orders.append(order)
            case "return" if orders:
                give_back(orders.pop(cents % len(orders)))
            case "take":
                if sum(before.values()) < cents:
                    with pytest.raises(NotEnoughCredit):
                        take_back(household=family, cents=cents, reason="x", on=day, by=office)
                else:
                    take_back(household=family, cents=cents, reason="x", on=day, by=office)
            case "expire":
                expire_credits(on=day)
                assert expire_credits(on=day).done == 0
                assert not any(grant.left_cents and grant.is_over(day) for grant in grants_left(family))
        left = [grant.left_cents for grant in grants_left(family)]
        assert min(left, default=0) >= 0
        assert sum(left) == balance(family) >= 0
    assert [found for found in violations() if found.number == "M15"] == []


# --- At once ------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group("races")
@pytest.mark.parametrize("is_guarded", [True, False], ids=["locked", "not-locked"])
def test_two_orders_of_a_family_cannot_spend_the_same_credit(committed_db, monkeypatch, is_guarded):
    """Without the family's lock both do: the control that this race is really run."""
    family = create_household()
    give(family, 3000)
    orders = [
        Order.objects.create(household=family, currency="usd", origin="waitlist", total_cents=3000)
        for _ in range(2)
    ]
    if not is_guarded:
        monkeypatch.setattr(credits, "_lock", lambda household: None)
        monkeypatch.setattr(credits, "CreditChoice", all_past(2, credits.CreditChoice))

    spent = at_once(*(lambda order=order: spend(order=order, total_cents=3000, on=TODAY) for order in orders))

    assert sorted(spent) == ([0, 3000] if is_guarded else [3000, 3000])
    assert balance(family) == (0 if is_guarded else -3000)
    assert ("M15" in {found.number for found in violations()}) is not is_guarded
