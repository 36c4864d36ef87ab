"""What Stripe does not know any more or refuses: customers, pages, and requests whose answer was lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.checkout.card_page import card_page
from billing.checkout.holds import expire_holds
from billing.checkout.payment_page import payment_page
from billing.checkout.place_order import place_order
from billing.installments.customers import forget_other_mode
from billing.models import Card, ChargeAttempt, Installment, StripeCustomer
from billing.stripe import gateway
from billing.stripe.page_calls import PageRefused, StripeUnavailable
from csf.models import StaffTask
from enrollments.models import Child
from tests.billing.story import PAID, story
from tests.factories import create_cart, create_course, create_order
from tests.hosted_page import invoice_page
from tests.pages import parent_of
from tests.shop import (
    at_stripe,
    card_of,
    change_card,
    hear,
    money_moved,
    open_page,
    order_with_plan,
    refused,
    run_days,
)


def fresh(installment):
    return Installment.objects.select_related("order__household").get(pk=installment.pk)


def customer_of(household):
    return StripeCustomer.objects.get(household=household).stripe_id


def delete_customer(shop, household):
    """By a request to forget a person, in Stripe's dashboard."""
    gone = customer_of(household)
    at_stripe(shop, "DELETE", f"/v1/customers/{gone}")
    return gone


def order_again(household):
    order = create_cart(household=household, courses=[create_course()])
    place_order(order=order, by=household.guardians.get(), now=timezone.now())
    return order


def lose_answers(shop, path):
    """Stripe does what was asked, and the line is cut."""
    fault = {"method": "POST", "path": path, "kind": "drop_after", "times": 1}
    shop.server.control("POST", "/_faults", [fault])


# --- Customers ----------------------------------------------------------------------------------------------


def test_a_customer_that_was_deleted_at_stripe_does_not_end_all_payments_of_the_family(shop):
    first = create_order()
    open_page(first)
    household = first.household
    gone = delete_customer(shop, household)
    other = order_again(household)

    shop.pay(open_page(other))
    hear(shop, "payment_intent.succeeded")

    other.refresh_from_db()
    assert other.status == "confirmed"
    assert customer_of(household) != gone
    assert StripeCustomer.objects.get().number == 2
    assert not StaffTask.objects.exists()


def test_the_open_invoice_of_a_deleted_customer_is_replaced(shop):
    installment = fresh(order_with_plan(shop))
    old = invoice_page(installment).rpartition("/")[2]
    delete_customer(shop, installment.order.household)
    order_again(installment.order.household)
    open_page(order_again(installment.order.household))  # the loss is noticed here

    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid")

    assert gateway.retrieve_invoice(old)["status"] == "void"
    assert story(installment) == {**PAID, "attempts": []}
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_a_charge_for_a_deleted_customer_asks_the_family_for_a_card_and_is_not_repeated(shop):
    installment = fresh(order_with_plan(shop))
    delete_customer(shop, installment.order.household)

    run_days(installment)

    assert story(installment) == {
        "installment": "needs_card",
        "attempts": ["not_executed"],
        "paid": 0,
        "tasks": [],
    }
    change_card(shop, installment.order.household)
    run_days(installment)
    assert story(installment)["installment"] == "paid"
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_customers_and_cards_of_test_mode_are_not_used_after_going_live(shop, settings):
    installment = fresh(order_with_plan(shop))
    household = installment.order.household
    old = customer_of(household)

    settings.STRIPE_LIVE_MODE = True
    forget_other_mode()

    assert not Card.objects.usable().filter(household=household).exists()
    shop.pay(invoice_page(fresh(installment)))
    customer = StripeCustomer.objects.get()
    assert (customer.stripe_id != old, customer.livemode, customer.number) == (True, True, 2)
    forget_other_mode()
    assert customer_of(household) == customer.stripe_id


def test_going_live_is_noticed_by_whoever_comes_first(shop, settings):
    installment = order_with_plan(shop)
    old = customer_of(installment.order.household)

    settings.STRIPE_LIVE_MODE = True
    run_days(installment, days=5)

    assert (customer_of(installment.order.household) != old, money_moved(shop, installment)) == (True, [])
    assert fresh(installment).status == "needs_card"


# --- Refused ------------------------------------------------------------------------------------------------


def refuse(monkeypatch, name, message="Invalid email address: x", param="email", code="email_invalid"):
    def no(*args, **options):
        raise refused(message, param, code)

    monkeypatch.setattr(gateway, name, no)


@pytest.mark.parametrize("step", ["create_customer", "create_checkout_session"])
def test_a_family_whom_stripe_takes_for_no_customer_is_told_to_somebody(shop, monkeypatch, step):
    order = create_order()
    refuse(monkeypatch, step)

    for _ in range(3):
        with pytest.raises(PageRefused):
            open_page(order)

    assert [task.detail for task in StaffTask.objects.open()] == ["Invalid email address: x"]
    answer = parent_of(order.household).post(f"/account/orders/{order.public_id}/pay/", follow=True)
    assert "We have been notified and will write to you." in answer.content.decode()


@pytest.mark.parametrize(
    ("step", "page"),
    [
        ("create_setup_session", "card"),
        ("create_invoice", "invoice"),
        ("finalize_invoice", "invoice"),
    ],
)
def test_a_page_that_stripe_refuses_is_one_task_and_a_clear_sentence(shop, monkeypatch, step, page):
    installment = fresh(order_with_plan(shop))
    household = installment.order.household
    refuse(monkeypatch, step, "Your account cannot do this.", None, None)

    by = household.guardians.get()
    pages = {
        "card": lambda: card_page(household=household, by=by, charge_now=False),
        "invoice": lambda: invoice_page(fresh(installment)),
    }
    for _ in range(3):
        with pytest.raises(PageRefused) as told:
            pages[page]()

    assert "We have been notified" in str(told.value.words)
    assert StaffTask.objects.open().get().detail == "Your account cannot do this."


def test_a_clock_that_is_some_minutes_slow_is_told_to_somebody(shop):
    """Stripe wants `expires_at` at least 30 minutes ahead; ours is 32 ahead of our own clock."""
    orders = [create_order() for _ in range(2)]
    now = timezone.now()
    shop.server.control("POST", "/_clock", {"advance": 3 * 60})

    for n, order in enumerate([*orders, *orders]):
        with pytest.raises(PageRefused):
            payment_page(order=order, by=order.household.guardians.get(), now=now + timedelta(seconds=n))

    assert set(ChargeAttempt.objects.values_list("status", flat=True)) == {"not_executed"}
    assert "clock is probably slow" in StaffTask.objects.open().get().detail


def test_a_page_that_stripe_does_not_know_keeps_no_seat(shop):
    """Made with a test key before going live."""
    order = create_order()
    open_page(order)
    ChargeAttempt.objects.update(stripe_session_id="cs_of_another_account")

    seen = expire_holds(now=timezone.now() + timedelta(hours=3))

    assert seen == {"expired": 1}
    assert story(order.installments.get())["attempts"] == ["not_executed"]


# --- Answers lost, and something changed since --------------------------------------------------------------


def test_a_customer_whose_answer_was_lost_before_the_family_changed_its_name(shop):
    order = create_order()
    lose_answers(shop, "/v1/customers")
    with pytest.raises(StripeUnavailable):
        open_page(order)

    household = order.household
    household.name = "Garcia-Lopez family"
    household.save()
    household.guardians.update(email="pat.lopez@example.org")

    assert open_page(order).startswith(shop.server.url)
    assert not StaffTask.objects.exists()


def test_a_page_whose_answer_was_lost_before_a_child_changed_its_name(shop):
    order = create_order()
    lose_answers(shop, "/v1/checkout/sessions")
    with pytest.raises(StripeUnavailable):
        open_page(order)

    Child.objects.update(first_name="Alexandra")

    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert story(order.installments.get()) == PAID


@pytest.mark.parametrize("path", ["/v1/invoices", "/v1/invoiceitems"])
def test_an_invoice_whose_answer_was_lost_before_the_school_changed_its_name(shop, settings, path):
    installment = fresh(order_with_plan(shop))
    lose_answers(shop, path)
    with pytest.raises(StripeUnavailable):
        invoice_page(installment)

    settings.SCHOOL_NAME = "Harbour Swim School"

    shop.pay(invoice_page(fresh(installment)))
    hear(shop, "invoice.paid")
    assert story(installment) == {**PAID, "attempts": []}
    assert money_moved(shop, installment) == [installment.amount_cents]
    assert card_of(installment).replaced_at is None
