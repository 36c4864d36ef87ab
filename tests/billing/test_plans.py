"""Payment plans: amounts to the cent, dates across month ends, and what placing with a plan writes."""

import datetime
import itertools

import pytest
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from billing.checkout.holds import expire_holds
from billing.checkout.place_order import place_order, plans_for
from billing.models import Card, ChargeAttempt, Consent, PaymentPlan
from billing.plan_schedule import due_dates, schedule, split_cents
from csf.dates import local_date
from orders.prices.quotes import lines_in_cart
from orders.refusal import OrderRefused
from tests.factories import create_cart, create_course
from tests.shop import hear, open_page, outcome

totals, parts, deposits = st.integers(1, 10_000_000), st.integers(1, 12), st.integers(0, 9_900)


@given(total=totals, parts=parts, deposit=deposits)
def test_parts_add_up_to_the_cent_and_differ_little(total, parts, deposit):
    amounts = split_cents(total, parts=parts, deposit_bps=deposit)

    assert len(amounts) == parts
    assert sum(amounts) == total
    assert min(amounts) >= 0
    assert max(amounts[1:-1], default=0) <= amounts[-1] < max(amounts[1:-1], default=total) + max(parts, 2)


@pytest.mark.parametrize(
    ("total", "count", "deposit", "amounts"),
    [
        (10000, 1, 0, [10000]),
        (10000, 2, 0, [5000, 5000]),
        (10001, 2, 0, [5000, 5001]),
        (10000, 3, 0, [3333, 3333, 3334]),
        (10000, 3, 5000, [5000, 2500, 2500]),
        (9999, 4, 2000, [2000, 2666, 2666, 2667]),
    ],
)
def test_the_remainder_is_on_the_last(total, count, deposit, amounts):
    assert split_cents(total, parts=count, deposit_bps=deposit) == amounts


@pytest.mark.parametrize(
    ("first", "interval", "days"),
    [
        ("2027-01-31", "monthly", ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]),
        ("2028-01-31", "monthly", ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]),
        ("2026-11-30", "monthly", ["2026-11-30", "2026-12-30", "2027-01-30", "2027-02-28"]),
        ("2026-12-28", "weekly", ["2026-12-28", "2027-01-04", "2027-01-11", "2027-01-18"]),
        ("2026-10-25", "biweekly", ["2026-10-25", "2026-11-08", "2026-11-22", "2026-12-06"]),
    ],
)
def test_due_dates(first, interval, days):
    found = due_dates(datetime.date.fromisoformat(first), interval=interval, parts=4)

    assert [day.isoformat() for day in found] == days


@given(first=st.dates(datetime.date(2020, 1, 1), datetime.date(2100, 1, 1)), parts=parts)
def test_monthly_dates_are_anchored_on_the_first_day(first, parts):
    days = due_dates(first, interval="monthly", parts=parts)

    assert [(day.year * 12 + day.month) for day in days] == [
        first.year * 12 + first.month + number for number in range(parts)
    ]
    assert all(day.day == first.day or (day + datetime.timedelta(days=1)).month != day.month for day in days)


@given(
    total=totals,
    parts=parts,
    deposit=deposits,
    interval=st.sampled_from(["weekly", "biweekly", "monthly"]),
    first=st.dates(datetime.date(2026, 1, 1), datetime.date(2032, 12, 31)),
    days=st.integers(1, 500),
)
@example(total=4_000, parts=4, deposit=0, interval="monthly", first=datetime.date(2027, 10, 31), days=93)
@example(total=3_999, parts=4, deposit=0, interval="monthly", first=datetime.date(2027, 11, 29), days=93)
@example(total=10_000, parts=2, deposit=9_000, interval="monthly", first=datetime.date(2028, 1, 31), days=30)
@example(total=10_000, parts=2, deposit=9_000, interval="monthly", first=datetime.date(2028, 1, 31), days=29)
def test_a_schedule_is_whole_in_order_and_over_in_time_or_there_is_none(
    total, parts, deposit, interval, first, days
):
    ends_on = first + datetime.timedelta(days=days)
    wanted = {"interval": interval, "parts": parts}
    amounts = split_cents(total, parts=parts, deposit_bps=deposit)
    dates = due_dates(first, **wanted)

    found = schedule(total, first_on=first, deposit_bps=deposit, ends_on=ends_on, **wanted)

    fits = parts == 1 or (min(amounts) >= 1_000 and dates[-1] < ends_on)
    assert (found is not None) == fits
    if found:
        assert [part.number for part in found] == [*range(1, parts + 1)]
        assert sum(part.amount_cents for part in found) == total
        days_due = [part.due_on for part in found]
        assert days_due[0] == first
        assert all(before < after for before, after in itertools.pairwise(days_due))
        if interval != "monthly":
            step = datetime.timedelta(weeks=2 if interval == "biweekly" else 1)
            assert all(day == first + number * step for number, day in enumerate(days_due))


def test_a_plan_with_parts_too_small_or_too_late_is_not_offered():
    day = datetime.date(2026, 11, 24)
    plan = {"first_on": day, "interval": "monthly", "deposit_bps": 0}

    assert schedule(2000, parts=2, ends_on=day + datetime.timedelta(days=31), **plan)
    assert schedule(1999, parts=2, ends_on=day + datetime.timedelta(days=31), **plan) is None
    assert schedule(2000, parts=2, ends_on=day + datetime.timedelta(days=30), **plan) is None


@pytest.mark.django_db
def test_plans_are_offered_for_all_classes_of_the_order_or_not_at_all():
    one, other = create_course(), create_course()
    everywhere = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    only_one = PaymentPlan.objects.create(name="In 3 parts", parts=3)
    only_one.courses.add(one)
    PaymentPlan.objects.create(name="Old", parts=4, is_active=False)

    assert PaymentPlan.objects.offered_for({one.pk}) == [everywhere, only_one]
    assert PaymentPlan.objects.offered_for({one.pk, other.pk}) == [everywhere]


def place_with(plan, order):
    parent = order.household.guardians.get()
    place_order(order=order, by=parent, now=timezone.now(), plan=plan, address="127.0.0.1")


def test_the_first_part_is_paid_at_checkout_and_the_card_is_kept_for_the_others(shop):
    plan = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    order = create_cart(courses=[create_course(price_cents=14401)])
    today = local_date(timezone.now())
    [(_, parts)] = plans_for(lines_in_cart(order.household), total_cents=14401, on=today)

    place_with(plan, order)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")

    assert outcome(order)["order"] == "confirmed"
    assert [(part.due_on, part.amount_cents, part.status) for part in order.installments.all()] == [
        (parts[0].due_on, 7200, "paid"),
        (parts[1].due_on, 7201, "scheduled"),
    ]
    consent = Consent.objects.get()
    assert consent.schedule == [
        {"number": part.number, "due_on": part.due_on.isoformat(), "amount_cents": part.amount_cents}
        for part in parts
    ]
    assert (consent.given_by, consent.address) == (order.placed_by, "127.0.0.1")
    assert "$72.01 on" in consent.text
    card = Card.objects.get()
    assert (card.household, card.brand, card.last4, card.replaced_at) == (
        order.household,
        "visa",
        "4242",
        None,
    )
    assert [charge["amount_cents"] for charge in shop.server.books()["charges"]] == [7200]


def test_late_money_brings_the_later_parts_back_too(shop):
    plan = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    order = create_cart()
    place_with(plan, order)
    shop.pay(open_page(order))
    ChargeAttempt.objects.update(status="not_executed", session_closed_at=timezone.now())
    order.installments.update(status="scheduled")
    expire_holds(now=timezone.now() + datetime.timedelta(minutes=40))
    assert outcome(order)["installments"] == ["cancelled", "cancelled"]

    hear(shop, "payment_intent.succeeded")

    assert outcome(order)["order"] == "confirmed"
    assert outcome(order)["installments"] == ["paid", "scheduled"]
    assert sum(part.amount_cents for part in order.installments.all()) == order.total_cents


def test_paying_in_full_keeps_no_card(shop):
    order = create_cart()
    place_with(None, order)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")

    assert not Card.objects.exists()
    assert not Consent.objects.exists()


@pytest.mark.django_db
def test_a_plan_that_is_not_possible_refuses_the_order_and_loses_nothing():
    plan = PaymentPlan.objects.create(name="In 12 parts", parts=12)
    order = create_cart()

    with pytest.raises(OrderRefused, match="choose again"):
        place_with(plan, order)

    order.refresh_from_db()
    assert order.status == "draft"
    assert not Consent.objects.exists()


@pytest.mark.django_db
def test_the_checkout_page_shows_every_date_and_amount_and_takes_the_choice(client, stripe_server):
    plan = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    order = create_cart(courses=[create_course(price_cents=14401)])
    client.force_login(order.household.guardians.get())

    page = client.get("/checkout/").text
    for words in ["In full", "$144.01", "In 2 parts", "$72.00", "$72.01"]:
        assert words in page
    refused = client.post(
        "/checkout/", {"order": order.public_id, "total": 14401, "plan": "999"}, follow=True
    )
    assert "no longer available" in refused.text
    client.post("/checkout/", {"order": order.public_id, "total": 14401, "plan": plan.pk})

    assert order.installments.count() == 2
