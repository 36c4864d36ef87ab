"""Two who want the same installment at the same moment, on real commits and real threads.

Each race has its control: with the guard patched away the damage shows, so the race is really run.
"""

from functools import partial

import pytest
import requests
from django.conf import settings
from django.utils import timezone

from billing.installments import attempts, dunning
from billing.installments.attempts import run_attempt
from billing.installments.card_updates import settle_setup_intent
from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.installments.pause import pause_charges
from billing.ledger import settle
from billing.ledger.settle import settle_invoice
from billing.models import CardUpdate, ChargeAttempt, Installment, InstallmentStatus, Payment
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from tests.billing.charge_races import AT_ONCE, asked_to_pay, fresh, job, outcome, page_of
from tests.billing.races import at_once, meanwhile, rounds
from tests.rivals import all_past
from tests.shop import DUE, hear, order_with_plan

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]

# --- The parent pays on Stripe's page while the job charges -------------------------------------------------


@pytest.mark.parametrize(
    ("step", "after", "attempt"),
    [
        ("retrieve_invoice", False, "succeeded"),  # seen paid before it is asked
        ("pay_invoice", False, "not_executed"),
        ("pay_invoice", True, "succeeded"),
    ],
)
def test_the_page_is_paid_while_the_job_charges(shop, monkeypatch, step, after, attempt):
    installment = order_with_plan(shop)
    page = page_of(installment)
    start_charges(DUE, on=installment.due_on)
    meanwhile(monkeypatch, gateway, step, lambda: shop.pay(page), after=after)

    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)
    hear(shop, "invoice.paid")

    assert outcome(shop, installment) == (1, 1, 1, [attempt], "paid")
    assert not StaffTask.objects.exists()
    assert violations() == []


@rounds
def test_page_job_and_event_at_once(shop, rounds):
    for _ in range(rounds):
        installment = order_with_plan(shop)
        page = page_of(installment)

        came_to = at_once(
            partial(job, installment), partial(shop.pay, page), partial(hear, shop, "invoice.paid")
        )
        hear(shop, "invoice.paid")

        assert outcome(shop, installment)[:3] == (1, 1, 1)
        assert fresh(installment).status == "paid"
        assert [error for error in came_to if isinstance(error, Exception)] == []
    assert not StaffTask.objects.exists()
    assert violations() == []


def test_control_with_an_invoice_of_its_own_for_the_job_the_parent_pays_twice(shop, monkeypatch):
    installment = order_with_plan(shop)
    page = page_of(installment)
    start_charges(DUE, on=installment.due_on)
    ensure = attempts.ensure_invoice

    def make_another(part, **options):
        Installment.objects.filter(pk=part.pk).update(stripe_invoice_id=None)
        part.stripe_invoice_id = None
        monkeypatch.setattr(part, "public_id", part.order.public_id)  # so that its keys differ
        return ensure(part, **options)

    monkeypatch.setattr(attempts, "ensure_invoice", make_another)
    meanwhile(monkeypatch, gateway, "pay_invoice", lambda: shop.pay(page))

    charge_waiting()
    hear(shop, "invoice.paid")

    succeeded = [row for row in shop.server.books()["charges"] if row["succeeded"]]
    assert [row["amount_cents"] for row in succeeded].count(installment.amount_cents) == 3  # with part one


def settled_at_once(installment):
    invoice = gateway.retrieve_invoice(fresh(installment).stripe_invoice_id)
    return [type(answer).__name__ for answer in at_once(*[lambda: settle_invoice(invoice)] * AT_ONCE)]


def test_answer_and_events_settle_at_once(shop):
    installment = order_with_plan(shop)
    shop.pay(page_of(installment))

    assert settled_at_once(installment) == ["Payment"] * AT_ONCE
    assert outcome(shop, installment) == (1, 1, 1, [], "paid")


def test_control_without_the_lock_they_get_into_each_others_way(shop, monkeypatch):
    installment = order_with_plan(shop)
    shop.pay(page_of(installment))
    unlocked = Installment.objects.select_related("order")
    monkeypatch.setattr(settle, "locked_installment", lambda invoice: unlocked.get(pk=installment.pk))
    # The first step after the look for a payment of this invoice.
    monkeypatch.setattr(settle, "_off_stripe_cents", all_past(AT_ONCE, settle._off_stripe_cents))

    assert sorted(settled_at_once(installment)) == ["Payment"] + ["Stale"] * (AT_ONCE - 1)


# --- The card changes while the job charges -----------------------------------------------------------------


def save_another(shop, installment):
    """The family replaces the order's card by one that ends in 7726: at Stripe at once, here when the answer
    is called."""
    household = installment.order.household
    update = CardUpdate.objects.create(
        household=household, requested_by=household.lead, charge_now=False, created_at=timezone.now()
    )
    update.orders.add(installment.order)
    answer = requests.post(
        f"{shop.server.url}/v1/payment_methods/pm_card_pendingRefund/attach",
        data={"customer": household.stripe_customer.stripe_id},
        headers={
            "Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}",
            "Stripe-Version": settings.STRIPE_API_VERSION,
            "Idempotency-Key": f"pm:{installment.public_id}",
        },
        timeout=60,
    ).json()
    assert "id" in answer, answer
    metadata = {
        "purpose": "card_update",
        "household": str(household.public_id),
        "card_update": str(update.public_id),
    }
    intent = {"status": "succeeded", "metadata": metadata, "payment_method": answer}
    return lambda: settle_setup_intent(intent)


def change_card_between_look_and_start(shop, monkeypatch):
    installment = order_with_plan(shop)
    meanwhile(monkeypatch, dunning, "_start_batch", save_another(shop, installment))
    job(installment)
    return installment


def test_a_card_saved_while_the_job_looks_is_the_one_that_pays(shop, monkeypatch):
    installment = change_card_between_look_and_start(shop, monkeypatch)

    assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")
    assert installment.attempts.get().card.last4 == "7726"
    assert Payment.objects.get(installment=installment).card_last4 == "7726"


def change_card_between_start_and_charge(shop):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    save_another(shop, installment)()
    charge_waiting()
    return installment


def test_a_card_that_was_replaced_before_its_charge_is_not_asked(shop):
    installment = change_card_between_start_and_charge(shop)
    assert outcome(shop, installment) == (0, 0, 0, ["not_executed"], "retry_wait")

    start_charges([InstallmentStatus.RETRY_WAIT], on=fresh(installment).next_try_on)
    charge_waiting()

    assert outcome(shop, installment) == (1, 1, 1, ["not_executed", "succeeded"], "paid")
    assert Payment.objects.get(installment=installment).card_last4 == "7726"
    assert violations() == []


def test_control_without_the_last_look_it_is(shop, monkeypatch):
    monkeypatch.setattr(attempts, "_why_unwanted", lambda attempt: "")

    installment = change_card_between_start_and_charge(shop)

    assert Payment.objects.get(installment=installment).card_last4 == "4242"


@pytest.mark.parametrize("step", ["create_invoice", "finalize_invoice"])
def test_a_card_that_was_replaced_while_the_invoice_was_made_is_not_asked(shop, monkeypatch, step):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    meanwhile(monkeypatch, gateway, step, save_another(shop, installment))

    charge_waiting()

    assert outcome(shop, installment) == (0, 0, 0, ["not_executed"], "retry_wait")
    assert asked_to_pay(shop) == []
    assert violations() == []


def test_charges_stopped_while_the_invoice_was_made_are_not_asked_for(shop, staff, monkeypatch):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    stop = partial(pause_charges, order=installment.order, by=staff, reason="x")
    meanwhile(monkeypatch, gateway, "create_invoice", stop)

    charge_waiting()

    assert outcome(shop, installment) == (0, 0, 0, ["not_executed"], "retry_wait")
    assert asked_to_pay(shop) == []


def test_a_card_saved_while_stripe_charges_the_old_one_costs_nothing_more(shop, monkeypatch):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    meanwhile(monkeypatch, gateway, "pay_invoice", save_another(shop, installment))

    charge_waiting()
    hear(shop, "invoice.paid")
    job(installment)

    assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")
    assert violations() == []
