"""Two who want the same installment at the same moment, on real commits and real threads.

Each race has its control: with the guard patched away the damage shows, so the race is really run.
"""

import itertools
import threading
from datetime import timedelta
from functools import partial

import pytest
import requests
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.utils import timezone

from billing.installments import attempts, dunning, staff_actions
from billing.installments.attempts import run_attempt
from billing.installments.card_updates import settle_setup_intent
from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.installments.next_step import NextStep, Step
from billing.installments.pause import pause_charges
from billing.ledger import settle
from billing.ledger.settle import settle_invoice
from billing.models import (
    CardUpdate,
    ChargeAttempt,
    ChargeStatus,
    Installment,
    InstallmentStatus,
    Payment,
    PaymentMethod,
)
from billing.stripe import gateway
from csf.models import JobRun, StaffTask
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.models import User
from notifications.models import EmailMessage
from tests import rivals
from tests.hosted_page import invoice_page
from tests.rivals import all_past
from tests.shop import hear, money_moved, order_with_plan
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]

DUE = [InstallmentStatus.SCHEDULED]
AT_ONCE = 4
at_once = partial(rivals.at_once, lost=(NotPossible, Stale, IntegrityError))
rounds = pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.chaos)])


@pytest.fixture(autouse=True)
def no_pace(settings):
    settings.STRIPE_CHARGES_PER_S = 0


@pytest.fixture
def staff(committed_db):
    return User.objects.create_user("office@example.org", is_staff=True)


# --- Rivals -------------------------------------------------------------------------------------------------


def apart(act):
    """In a thread of its own, with its own connection; waits for its end."""
    return at_once(act)[0]


def meanwhile(monkeypatch, module, name, rival, *, after=False):
    """`rival` runs once and to its end when this function is called next, before it or after it.

    Gives the list into which goes what it came to.
    """
    real, came_to = getattr(module, name), []
    waiting = [rival]

    def run(*args, **options):
        if waiting and not after:
            came_to.append(apart(waiting.pop()))
        try:
            return real(*args, **options)
        finally:
            if waiting and after:
                came_to.append(apart(waiting.pop()))

    monkeypatch.setattr(module, name, run)
    return came_to


def drop(*names):
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"ALTER TABLE billing_chargeattempt DROP CONSTRAINT IF EXISTS {name}")
            cursor.execute(f"DROP INDEX IF EXISTS {name}")


# --- What came of it ----------------------------------------------------------------------------------------


def fresh(installment):
    return Installment.objects.get(pk=installment.pk)


def outcome(shop, installment):
    """Money in Stripe's books, payments, emails about them, attempts, and the installment itself."""
    payments = Payment.objects.filter(order=installment.order_id).exclude(stripe_invoice_id=None)
    mails = EmailMessage.objects.filter(kind="payment_success", fact_id__in=payments.values("pk"))
    return (
        len(money_moved(shop, installment)),
        payments.count(),
        mails.count(),
        [attempt.status for attempt in installment.attempts.all()],
        fresh(installment).status,
    )


def job(installment):
    report = start_charges(DUE, on=installment.due_on)
    charge_waiting()
    return report


# --- The parent pays on Stripe's page while the job charges -------------------------------------------------


def page_of(installment):
    return invoice_page(fresh(installment))


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


# --- Staff act while the job charges ------------------------------------------------------------------------


ACTS = {
    "waive": lambda part, by: staff_actions.waive(installment=part, by=by, reason="x"),
    "cancel": lambda part, by: staff_actions.cancel(installment=part, by=by, reason="x"),
    "hold": lambda part, by: staff_actions.hold(installment=part, by=by, reason="x"),
    "move": lambda part, by: staff_actions.move_date(
        installment=part, by=by, reason="x", to=part.due_on + timedelta(days=20), on=timezone.localdate()
    ),
    "cash": lambda part, by: staff_actions.record_offline(
        installment=part, by=by, reason="x", method=PaymentMethod.CASH, received_at=timezone.now()
    ),
}
ENDS = {"waive": "waived", "cancel": "cancelled", "cash": "paid", "hold": "scheduled", "move": "scheduled"}


def act_while_the_job_looks(shop, staff, patch, act):
    installment = order_with_plan(shop)
    meanwhile(patch, dunning, "_start_batch", lambda: ACTS[act](fresh(installment), staff))
    job(installment)
    return installment


def test_staff_act_while_the_job_looks_and_nothing_is_charged(shop, staff, monkeypatch):
    for act, status in ENDS.items():
        with monkeypatch.context() as patch:
            installment = act_while_the_job_looks(shop, staff, patch, act)
        assert outcome(shop, installment) == (0, 0, 0, [], status), act
    assert violations() == []


def test_staff_act_while_it_is_charged_and_are_refused(shop, staff, monkeypatch):
    for act, step in itertools.product(ACTS.values(), ["create_invoice", "pay_invoice"]):
        installment = order_with_plan(shop)
        with monkeypatch.context() as patch:
            came_to = meanwhile(patch, gateway, step, partial(act, fresh(installment), staff))
            job(installment)

        assert [type(error) for error in came_to] == [NotPossible]
        assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")
    assert violations() == []


def start_without_looking(wanted, *, kind, on):
    """`dunning._start` without any of its guards."""
    ids = [installment.pk for installment, _ in wanted]
    Installment.objects.filter(pk__in=ids).update(status="charging", next_try_on=None)
    return [
        ChargeAttempt.objects.create(
            installment=installment,
            number=ChargeAttempt.objects.filter(installment=installment).count() + 1,
            kind=kind,
            amount_cents=installment.amount_cents,
            currency="usd",
            charged_on=on,
            card=card,
        )
        for installment, card in wanted
    ]


def test_control_without_the_second_look_the_job_charges_all_the_same(shop, staff, monkeypatch):
    monkeypatch.setattr(dunning, "_start", start_without_looking)
    monkeypatch.setattr(attempts, "_why_unwanted", lambda attempt: "")  # the worker's own look
    for act in ACTS:
        with monkeypatch.context() as patch:
            installment = act_while_the_job_looks(shop, staff, patch, act)
        assert money_moved(shop, installment) == [installment.amount_cents], act
    assert violations() != []


def the_job_comes_while_staff_waive(shop, staff, monkeypatch):
    """Just after its invoice was seen closed."""
    installment = order_with_plan(shop)
    page_of(installment)
    meanwhile(monkeypatch, staff_actions, "_void", lambda: job(installment), after=True)
    [came_to] = at_once(lambda: ACTS["waive"](fresh(installment), staff))
    return installment, came_to


def test_the_job_comes_while_staff_close_the_invoice_and_charges_nothing(shop, staff, monkeypatch):
    installment, came_to = the_job_comes_while_staff_waive(shop, staff, monkeypatch)

    assert came_to is None
    assert outcome(shop, installment) == (0, 0, 0, [], "waived")
    assert not StaffTask.objects.exists()
    assert violations() == []


def test_control_without_the_hold_the_job_charges_what_staff_waive(shop, staff, monkeypatch):
    monkeypatch.setattr(dunning, "_start", start_without_looking)
    monkeypatch.setattr(dunning, "next_step", lambda part, **facts: NextStep(Step.CHARGE))
    monkeypatch.setattr(attempts, "_why_unwanted", lambda attempt: "")

    installment, came_to = the_job_comes_while_staff_waive(shop, staff, monkeypatch)

    assert (type(came_to), str(came_to)) == (NotPossible, "It is paid.")
    assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")


@pytest.mark.parametrize(("guarded", "money"), [(True, 0), (False, 1)])
def test_cash_closes_the_page_that_the_parent_still_has_open(shop, staff, monkeypatch, guarded, money):
    installment = order_with_plan(shop)
    page = page_of(installment)
    if not guarded:
        monkeypatch.setattr(staff_actions, "_void", lambda installment: None)

    ACTS["cash"](fresh(installment), staff)
    requests.post(page, data={"card": "4242424242424242"}, allow_redirects=False, timeout=60)

    assert len(money_moved(shop, installment)) == money


# --- Two schedulers -----------------------------------------------------------------------------------------


@rounds
def test_the_daily_command_runs_in_several_places_at_once(shop, rounds):
    for _ in range(rounds):
        parts = [order_with_plan(shop) for _ in range(3)]
        day = parts[0].due_on.isoformat()
        JobRun.objects.all().delete()

        came_to = at_once(
            *[partial(call_command, "run_job", "charge_due_installments", "--date", day)] * AT_ONCE
        )
        charge_waiting()

        assert came_to == [None] * AT_ONCE
        assert [outcome(shop, part) for part in parts] == [(1, 1, 1, ["succeeded"], "paid")] * 3
    assert violations() == []


def scheduled_twice(shop, monkeypatch):
    """The second scheduler runs to its end between the look of the first and its attempts."""
    installment = order_with_plan(shop)
    look = partial(start_charges, DUE, on=installment.due_on)
    meanwhile(monkeypatch, dunning, "_start_batch", look)
    [came_to] = at_once(look)
    return installment, came_to


def test_a_scheduler_that_looked_before_the_other_wrote_makes_no_second_attempt(shop, monkeypatch):
    installment, report = scheduled_twice(shop, monkeypatch)

    assert report.done == 0
    assert outcome(shop, installment)[3:] == (["created"], "charging")


@pytest.mark.parametrize(
    ("dropped", "attempts"),
    [
        ([], ["created"]),  # the database still refuses a second open one
        (["billing_chargeattempt_one_open", "billing_chargeattempt_auto_once_a_day"], ["created", "created"]),
    ],
)
def test_control_without_its_guards_it_does(shop, monkeypatch, dropped, attempts):
    monkeypatch.setattr(dunning, "_start", start_without_looking)
    drop(*dropped)

    installment, report = scheduled_twice(shop, monkeypatch)

    assert outcome(shop, installment)[3] == attempts
    assert isinstance(report, Exception) is (not dropped)


# --- Two workers --------------------------------------------------------------------------------------------


def asked_to_pay(shop):
    return [post for post in shop.server.books()["posts"] if post["path"].endswith("/pay")]


def work_at_once(shop):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    attempt = installment.attempts.get()
    at_once(*[lambda: run_attempt(attempt.pk)] * AT_ONCE)
    return installment


@rounds
def test_several_workers_take_one_attempt_and_one_asks_stripe(shop, rounds):
    for done in range(rounds):
        installment = work_at_once(shop)

        assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")
        assert installment.attempts.get().tries == 1
        assert len(asked_to_pay(shop)) == done + 1
    assert violations() == []


def test_control_without_the_claim_all_of_them_ask_and_the_key_alone_holds(shop, monkeypatch):
    all_claimed = threading.Barrier(AT_ONCE)

    def take(attempt_id):
        ChargeAttempt.objects.filter(pk=attempt_id).update(status=ChargeStatus.SENDING, tries=1)
        all_claimed.wait(PATIENCE_S)
        attempts = ChargeAttempt.objects.select_related("installment__order__household", "card")
        return attempts.get(pk=attempt_id)

    pay, all_ready = gateway.pay_invoice, threading.Barrier(AT_ONCE)

    def pay_together(*args, **options):
        all_ready.wait(PATIENCE_S)
        return pay(*args, **options)

    monkeypatch.setattr(attempts, "_claim", take)
    monkeypatch.setattr(gateway, "pay_invoice", pay_together)

    installment = work_at_once(shop)

    assert len(asked_to_pay(shop)) > 1
    assert len(money_moved(shop, installment)) == 1
