"""Paying an installment early, on a page of Stripe that leads back: whatever happens, it is paid once."""

from datetime import timedelta
from itertools import pairwise

import pytest
import requests
import time_machine
from django.test import Client
from django.utils import timezone

from billing.checkout import installment_page
from billing.checkout.payable import NotPayable
from billing.checkout.payment_page import close_page
from billing.events.reconcile import settle_finished_pages
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.installments.invoices import ensure_invoice
from billing.models import ChargeAttempt, Installment, InstallmentStatus, InstallmentTransition, Payment
from billing.stripe import gateway
from billing.stripe.page_calls import StripeUnavailable
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from tests.pages import parent_of, words
from tests.shop import NO_MONEY, VISA, hear, order_with_plan

pytestmark = pytest.mark.django_db
EVENTS = ["payment_intent.succeeded", "payment_intent.payment_failed", "invoice.paid"]
EVENTS += ["checkout.session.completed", "checkout.session.expired"]


@pytest.fixture
def part(shop):
    return order_with_plan(shop)


def fresh(part):
    return Installment.objects.get(pk=part.pk)


def page_of(part):
    by = part.order.household.guardians.get()
    return installment_page.installment_page(fresh(part), by=by, now=timezone.now())


def taken(shop):
    """The succeeded charges in Stripe's own books, after the one for the first part."""
    return [row["amount_cents"] for row in shop.server.books()["charges"] if row["succeeded"]][1:]


def outcome(shop, part):
    payments = Payment.objects.filter(order=part.order).exclude(installment__number=1)
    return (
        taken(shop),
        [(row.amount_cents, row.installment_id == part.pk) for row in payments],
        [(attempt.kind, attempt.status) for attempt in part.attempts.all()],
        fresh(part).status,
    )


PAID = ([7200], [(7200, True)], [("page", "succeeded")], "paid")


def charge():
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def job(part):
    start_charges([part.status], on=part.due_on)
    charge()


def test_from_the_account_to_stripe_and_back_to_a_page_that_says_it_is_paid(shop, part):
    client = parent_of(part.order.household)

    page = client.post(f"/account/installments/{part.public_id}/pay/").url
    assert page == client.post(f"/account/installments/{part.public_id}/pay/").url
    assert "Payment started" in words(client.get("/account/"))
    paid = requests.post(page, data={"card": VISA}, timeout=60, allow_redirects=False)
    back = paid.headers["Location"].partition("//")[2].partition("/")[2]

    waiting = client.get(f"/{back}")
    assert "Your payment is being confirmed." in words(waiting)
    assert "Pay $" not in words(waiting)
    assert 'http-equiv="refresh"' in waiting.text
    hear(shop, *EVENTS)
    assert "This installment is paid. Thank you!" in words(client.get(f"/{back}"))
    assert outcome(shop, part) == PAID
    assert EmailMessage.objects.filter(kind="payment_success").count() == 2
    assert violations() == []


def test_the_link_of_an_email_opens_the_same_page_without_a_login(shop, part):
    first = page_of(part)
    link = ChargeAttempt.objects.get(installment=part).return_path

    assert Client().post(link).url == first
    assert "Your installment" in words(Client().get(link))


def another_page(shop, part):
    shop.pay(page_of(part))
    hear(shop, "payment_intent.succeeded")


def daily_job(shop, part):
    close_page(part.attempts.get())
    job(part)


@pytest.mark.parametrize("begin", [another_page, daily_job])
def test_a_page_that_is_reported_closed_late_ends_nothing_that_began_since(shop, part, monkeypatch, begin):
    page_of(part)
    closed = part.attempts.get()
    gateway.expire_checkout_session(closed.stripe_session_id, key="at Stripe")

    def hear_late(*args, **options):
        monkeypatch.undo()
        hear(shop, "checkout.session.expired")
        assert fresh(part).status == "charging"
        return ask(*args, **options)

    name = "create_checkout_session" if begin == another_page else "pay_invoice"
    ask = getattr(gateway, name)
    monkeypatch.setattr(gateway, name, hear_late)
    begin(shop, part)

    assert fresh(part).status == "paid"
    assert taken(shop) == [7200]
    assert violations() == []


BEFORE = {
    "scheduled": {},
    "retry_wait": {"next_try_on": timezone.localdate() + timedelta(days=2)},
    "needs_card": {},
    "needs_auth": {},
    "exhausted": {},
}


WAYS = {"scheduled": [], "exhausted": ["charging", "retry_wait", "exhausted"]}


def lead_to(part, status):
    """Without an attempt, and so without its emails."""
    steps = pairwise(["scheduled", *WAYS.get(status, ["charging", status])])
    moves = [InstallmentTransition(installment=part, from_status=a, to_status=b) for a, b in steps]
    InstallmentTransition.objects.bulk_create(moves)
    Installment.objects.filter(pk=part.pk).update(status=status, **BEFORE[status])


@pytest.mark.parametrize("status", BEFORE)
@pytest.mark.parametrize("card", [None, NO_MONEY])
def test_a_page_that_closes_without_money_leaves_the_installment_as_it_was(shop, part, status, card):
    lead_to(part, status)
    page = page_of(part)
    assert fresh(part).status == "charging"
    if card:
        shop.pay(page, card)

    shop.server.control("POST", "/_clock", {"advance": 3600})
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        hear(shop, *EVENTS)
        settle_finished_pages(now=timezone.now())

    part = fresh(part)
    assert (part.status, part.next_try_on) == (status, BEFORE[status].get("next_try_on"))
    assert taken(shop) == []
    assert EmailMessage.objects.filter(kind="payment_failed").count() == bool(card)
    assert violations() == []


def test_while_the_page_is_open_the_job_charges_nothing_and_after_it_again(shop, part):
    page_of(part)
    job(part)
    assert outcome(shop, part) == ([], [], [("page", "waiting")], "charging")

    shop.server.control("POST", "/_clock", {"advance": 3600})
    hear(shop, *EVENTS)
    job(part)

    assert outcome(shop, part)[0] == [7200]
    assert fresh(part).status == "paid"


def test_while_the_job_charges_no_page_opens(shop, part):
    start_charges([InstallmentStatus.SCHEDULED], on=part.due_on)

    with pytest.raises(NotPayable, match="Your card is being charged right now"):
        page_of(part)

    charge()
    with pytest.raises(NotPayable, match="This installment is paid"):
        page_of(part)
    assert taken(shop) == [7200]


def invoice_tab(part):
    """Stripe's page of the invoice, as a tab that was opened long ago, or as its dashboard sends it."""
    return ensure_invoice(fresh(part))["hosted_invoice_url"]


def test_the_page_of_the_invoice_is_closed_before_this_one_opens(shop, part):
    tab = invoice_tab(part)
    page = page_of(part)

    requests.post(tab, data={"card": VISA}, timeout=60)
    assert taken(shop) == []
    shop.pay(page)
    hear(shop, *EVENTS)

    assert outcome(shop, part) == PAID


def test_control_with_both_open_it_is_paid_twice_and_the_second_goes_back(shop, part, monkeypatch):
    tab = invoice_tab(part)
    monkeypatch.setattr(installment_page, "_close_invoice", lambda installment, now: None)
    Installment.objects.filter(pk=part.pk).update(stripe_invoice_id=None)
    page = page_of(part)
    shop.pay(tab)
    shop.pay(page)
    hear(shop, *EVENTS)

    assert taken(shop) == [7200, 7200]
    assert [refund.amount_cents for refund in part.order.refunds.all()] == [7200]


def test_an_invoice_that_was_paid_a_moment_ago_opens_no_page(shop, part):
    shop.pay(invoice_tab(part))

    with pytest.raises(NotPayable, match="This installment is paid"):
        page_of(part)

    hear(shop, *EVENTS)
    assert outcome(shop, part) == ([7200], [(7200, True)], [], "paid")


def test_while_stripe_does_not_say_that_the_invoice_is_closed_nothing_is_begun(shop, part):
    invoice_tab(part)
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/void", "kind": "error_before"}])

    with pytest.raises(StripeUnavailable):
        page_of(part)

    assert outcome(shop, part) == ([], [], [], "scheduled")


def test_a_webhook_that_never_came_is_made_up_for_by_the_button(shop, part):
    shop.pay(page_of(part))

    with pytest.raises(NotPayable, match="This installment is paid"):
        page_of(part)

    hear(shop, *EVENTS)
    assert outcome(shop, part) == PAID


def test_or_by_the_hourly_look(shop, part):
    shop.pay(page_of(part))

    settle_finished_pages(now=timezone.now() + timedelta(hours=1))

    assert outcome(shop, part) == PAID


def test_an_answer_that_got_lost_is_found_again(shop, part):
    shop.server.control(
        "POST", "/_faults", [{"path": "/v1/checkout/sessions", "method": "POST", "kind": "drop_after"}]
    )
    with pytest.raises(StripeUnavailable):
        page_of(part)
    assert outcome(shop, part) == ([], [], [("page", "unknown")], "charging")
    shop.server.control("DELETE", "/_faults")

    shop.pay(page_of(part))
    hear(shop, *EVENTS)

    assert outcome(shop, part) == PAID


def test_a_page_that_never_came_to_be_gives_the_installment_back(shop, part):
    shop.server.control(
        "POST", "/_faults", [{"path": "/v1/checkout/sessions", "method": "POST", "kind": "drop_before"}]
    )
    with pytest.raises(StripeUnavailable):
        page_of(part)
    shop.server.control("DELETE", "/_faults")

    shop.server.control("POST", "/_clock", {"advance": 3600})
    settle_finished_pages(now=timezone.now() + timedelta(hours=1))

    assert outcome(shop, part) == ([], [], [("page", "not_executed")], "scheduled")
    assert not StaffTask.objects.exists()


def test_the_card_of_this_page_is_not_kept_for_later_charges(shop, part):
    [before] = part.order.household.cards.values_list("stripe_payment_method_id", flat=True)

    shop.pay(page_of(part), "4000000000007726")
    hear(shop, *EVENTS)

    assert [*part.order.household.cards.values_list("stripe_payment_method_id", flat=True)] == [before]
    assert Payment.objects.get(installment=part).card_last4 == "7726"


def test_a_decline_on_the_page_tells_what_was_planned_before(shop, part):
    shop.pay(page_of(part), NO_MONEY)
    hear(shop, *EVENTS)

    context = EmailMessage.objects.get(kind="payment_failed").context
    assert (context["on_page"], context["charge_on"]) == (True, part.due_on.isoformat())
    shop.pay(part.attempts.get().session_url)
    hear(shop, *EVENTS)
    assert fresh(part).status == "paid"
    assert taken(shop) == [7200]


def test_a_session_at_stripe_says_what_is_paid_and_where_it_leads(shop, part):
    page_of(part)

    attempt = part.attempts.get()
    session = gateway.retrieve_checkout_session(attempt.stripe_session_id)
    assert session["cancel_url"].endswith(attempt.return_path)
    assert session["success_url"].endswith(f"{attempt.return_path}?paid=1")
    assert session["amount_total"] == 7200
