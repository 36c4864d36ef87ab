"""Two schedulers, and several workers, that want the same installment. Each race has its control."""

import threading
from functools import partial

import pytest
from django.core.management import call_command
from django.db import connection

from billing.installments import attempts, dunning
from billing.installments.attempts import run_attempt
from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, ChargeStatus
from billing.stripe import gateway
from csf.models import JobRun
from csf.proofs.invariants import violations
from tests.billing.charge_races import AT_ONCE, asked_to_pay, outcome, start_without_looking
from tests.billing.races import at_once, meanwhile, rounds
from tests.shop import DUE, money_moved, order_with_plan
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]


def drop(*names):
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"ALTER TABLE billing_chargeattempt DROP CONSTRAINT IF EXISTS {name}")
            cursor.execute(f"DROP INDEX IF EXISTS {name}")


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
