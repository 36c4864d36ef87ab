"""Charging saved cards on the due date: the jobs, the bank's answers, and what a crash leaves behind."""

import threading
import time
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.installments import charging
from billing.installments.charging import charge_waiting, recover_charges
from billing.installments.dunning import candidates, start_charges
from billing.models import Card, ChargeAttempt, Installment, Payment
from billing.stripe import breaker, gateway
from csf.models import Breaker, JobRun, StaffTask
from notifications.models import EmailMessage
from tests.billing.crash_steps import Killed
from tests.billing.story import PAID, story
from tests.rivals import at_once
from tests.shop import DUE, RETRY, charge, hear, money_moved, order_with_plan, script
from tests.waiting import PATIENCE_S


def test_on_its_due_day_an_installment_is_charged_once(shop):
    installment = order_with_plan(shop)
    day = installment.due_on

    assert start_charges(DUE, on=day - timedelta(days=1)).done == 0
    assert start_charges(DUE, on=day).done == 1
    assert start_charges(DUE, on=day).done == 0
    charge()
    charge()
    hear(shop, "invoice.paid")

    assert story(installment) == PAID
    assert money_moved(shop, installment) == [installment.amount_cents]
    payment = Payment.objects.get(installment=installment)
    assert (payment.amount_cents, payment.card_last4) == (installment.amount_cents, "4242")
    assert Counter(EmailMessage.objects.values_list("kind", flat=True))["payment_success"] == 2


def test_the_event_may_be_faster_than_the_answer(shop, monkeypatch):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    pay = gateway.pay_invoice

    def pay_and_be_late(*args, **options):
        answer = pay(*args, **options)
        hear(shop, "invoice.paid")
        return answer

    monkeypatch.setattr(gateway, "pay_invoice", pay_and_be_late)
    charge()

    assert story(installment) == PAID


def test_soft_declines_follow_the_dunning_days_and_end_with_a_person(shop):
    installment = order_with_plan(shop)
    script(shop, installment, *["insufficient_funds"] * 4)
    days = []

    start_charges(DUE, on=installment.due_on)
    charge()
    while (installment := Installment.objects.get(pk=installment.pk)).status == "retry_wait":
        days.append((installment.next_try_on - installment.due_on).days)
        assert start_charges(RETRY, on=installment.next_try_on - timedelta(days=1)).done == 0
        assert start_charges(RETRY, on=installment.next_try_on).done == 1
        charge()

    assert days == [3, 7, 14]
    assert story(installment) == {
        "installment": "exhausted",
        "attempts": ["declined"] * 4,
        "paid": 0,
        "tasks": ["installment_exhausted"],
    }
    assert money_moved(shop, installment) == []
    assert installment.order.status == "confirmed"
    assert [item.enrollment.status for item in installment.order.items.select_related("enrollment")] == [
        "active"
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "attempt", "tasks"),
    [
        ("insufficient_funds", "retry_wait", "declined", []),
        ("do_not_honor", "retry_wait", "declined", []),
        ("expired_card", "needs_card", "declined", []),
        ("lost_card", "needs_card", "declined", ["card_refused"]),
        ("fraudulent", "needs_card", "declined", ["card_refused"]),
        ("authentication_required", "needs_auth", "needs_auth", []),
        ("duplicate_transaction", "retry_wait", "declined", ["decline_to_look_at"]),
        (
            {"code": "card_declined", "decline_code": "quite_new"},
            "retry_wait",
            "declined",
            ["decline_to_look_at"],
        ),
    ],
)
def test_what_each_class_of_decline_leads_to(shop, outcome, status, attempt, tasks):
    installment = order_with_plan(shop)
    script(shop, installment, outcome)

    start_charges(DUE, on=installment.due_on)
    charge()

    assert story(installment) == {"installment": status, "attempts": [attempt], "paid": 0, "tasks": tasks}


def test_a_card_that_was_refused_for_good_is_not_asked_for_any_order_of_the_family(shop):
    first = order_with_plan(shop)
    other = first.order.installments.create(
        number=3, due_on=first.due_on, amount_cents=1500, consent=first.consent
    )
    script(shop, first, "stolen_card")
    start_charges(DUE, on=first.due_on)

    charge()

    assert Card.objects.get().refused_at is not None
    assert story(first)["installment"] == "needs_card"
    other.refresh_from_db()
    assert (other.status, list(shop.server.books()["invoices"])) == ("retry_wait", [str(first.public_id)])
    assert [row["failure_code"] for row in shop.server.books()["charges"] if not row["succeeded"]] == [
        "card_declined"
    ]


STEPS = ["create_invoice", "add_invoice_line", "finalize_invoice", "pay_invoice"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_dies_at_any_step_charges_once(shop, monkeypatch, step, moment):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    real = getattr(gateway, step)

    def die(*args, **options):
        if moment == "after":
            real(*args, **options)
        raise Killed

    monkeypatch.setattr(gateway, step, die)
    with pytest.raises(Killed):
        charge()
    monkeypatch.setattr(gateway, step, real)

    assert story(installment)["attempts"] == ["sending"]
    ChargeAttempt.objects.on_saved_cards().update(leased_until=timezone.now())
    recover_charges()
    ChargeAttempt.objects.on_saved_cards().update(next_look_at=timezone.now())
    charge()

    assert story(installment) == PAID
    assert money_moved(shop, installment) == [installment.amount_cents]


@pytest.mark.parametrize(
    "kind", ["drop_before", "drop_after", "error_before", "error_after", "rate_limit", "conflict"]
)
@pytest.mark.parametrize(
    "path", ["/v1/invoices", "/v1/invoiceitems", "/v1/invoices/*/finalize", "/v1/invoices/*/pay"]
)
def test_an_answer_that_does_not_come_is_learnt_later(shop, kind, path):
    installment = order_with_plan(shop)
    start_charges(DUE, on=installment.due_on)
    fault = {"path": path, "method": "POST", "kind": kind, "stored": False}
    shop.server.control("POST", "/_faults", [fault if kind.startswith("error") else fault | {"stored": None}])

    charge()
    assert story(installment) == {"installment": "charging", "attempts": ["unknown"], "paid": 0, "tasks": []}
    assert start_charges(DUE, on=installment.due_on + timedelta(days=1)).done == 0

    shop.server.control("DELETE", "/_faults")
    ChargeAttempt.objects.on_saved_cards().update(next_look_at=timezone.now())
    charge()

    assert story(installment) == PAID
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_who_is_skipped_and_why(shop):
    installments = [order_with_plan(shop) for _ in range(5)]
    held, paused, late, cardless, ready = installments
    Installment.objects.filter(pk=held.pk).update(held_at=timezone.now())
    type(paused.order).objects.filter(pk=paused.order_id).update(charges_paused_at=timezone.now())
    Installment.objects.filter(pk=late.pk).update(due_on=late.due_on - timedelta(days=4))
    Card.objects.filter(household=cardless.order.household).update(replaced_at=timezone.now())
    day = ready.due_on

    planned = {row.installment.pk: row.reason for row in candidates(DUE, on=day)}
    dry = start_charges(DUE, on=day, dry_run=True)

    assert planned == {
        held.pk: "on hold",
        paused.pk: "the charges of this order are paused",
        late.pk: "more than 3 days late: staff decide, because the consent names the date",
        cardless.pk: "no saved card",
        ready.pk: "",
    }
    assert (dry.done, sorted(dry.reasons)) == (1, sorted(reason for reason in planned.values() if reason))
    assert not ChargeAttempt.objects.on_saved_cards().exists()
    real = start_charges(DUE, on=day)
    assert (real.done, real.reasons) == (dry.done, dry.reasons)
    assert sorted(StaffTask.objects.values_list("kind", flat=True)) == ["installment_late"]
    cardless.refresh_from_db()
    assert cardless.status == "needs_card"


def test_the_command_runs_once_a_day_and_keeps_its_report(shop, capsys):
    installment = order_with_plan(shop)
    day = installment.due_on.isoformat()

    call_command("run_job", "charge_due_installments", "--date", day, "--dry-run")
    call_command("run_job", "charge_due_installments", "--date", day)
    call_command("run_job", "charge_due_installments", "--date", day)

    assert capsys.readouterr().out.splitlines() == [
        f"  do {installment}: $72.00",
        "would do: done=1 skipped=0 failed=0",
        f"charge_due_installments {day}: done=1 skipped=0 failed=0",
        f"charge_due_installments {day}: already done, nothing to do",
    ]
    assert JobRun.objects.get().report == {"done": 1, "failed": 0, "skipped": []}


@pytest.mark.xdist_group("races")
def test_two_schedulers_at_once_make_one_attempt(shop, committed_db):
    installment = order_with_plan(shop)

    at_once(*[partial(start_charges, DUE, on=installment.due_on)] * 8)
    charge_waiting()

    assert story(installment) == PAID
    assert money_moved(shop, installment) == [installment.amount_cents]


def test_the_pace_is_kept_over_threads():
    pace = charging.Pace(200)
    threads = [threading.Thread(target=pace.wait) for _ in range(20)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert time.monotonic() - started >= 19 / 200


@pytest.mark.xdist_group("races")
def test_while_stripe_is_away_one_attempt_asks_for_all(shop, committed_db, settings, monkeypatch):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 2)
    settings.STRIPE_CHARGE_THREADS = 1
    parts = [order_with_plan(shop) for _ in range(4)]
    start_charges(DUE, on=parts[0].due_on)
    shop.server.control("POST", "/_faults", [{"kind": "drop_before"}])

    assert charge_waiting() is False
    assert charge_waiting() is False
    Breaker.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    assert charge_waiting() is False
    attempts = ChargeAttempt.objects.on_saved_cards().order_by("pk")
    assert sorted(attempts.values_list("tries", flat=True)) == [0, 1, 1, 1]
    minute = timezone.now() + timedelta(seconds=65)
    assert attempts.filter(status="unknown", next_look_at__lt=minute).count() == 3

    shop.server.control("DELETE", "/_faults")
    Breaker.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    attempts.filter(status="unknown").update(next_look_at=timezone.now())
    charge_waiting()

    assert [story(part) for part in parts] == [PAID] * 4


# --- Several workers ----------------------------------------------------------------------------------------


@pytest.mark.xdist_group("races")
def test_workers_share_what_is_due_and_a_third_ends_at_once(shop, committed_db, monkeypatch, settings):
    parts = [order_with_plan(shop) for _ in range(4)]
    start_charges(DUE, on=parts[0].due_on)
    settings.STRIPE_CHARGES_PER_S = 50
    shares, paces, both, go = [], [], threading.Barrier(3), threading.Event()
    share, pace = charging._share, charging.Pace

    def share_together(slot, *, of):
        ids = share(slot, of=of)
        if not go.is_set():  # later whoever is done with its own helps the other
            shares.append(set(ids))
            both.wait(PATIENCE_S)
            go.wait(PATIENCE_S)
        return ids

    def pace_and_record(per_second):
        paces.append(per_second)
        return pace(per_second)

    def work():
        try:
            charge_waiting()
        finally:
            connection.close()

    monkeypatch.setattr(charging, "_share", share_together)
    monkeypatch.setattr(charging, "Pace", pace_and_record)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    both.wait(PATIENCE_S)
    third = charge_waiting()
    go.set()
    for thread in threads:
        thread.join()

    assert (third, paces) == (False, [25, 25])
    assert [story(part) for part in parts] == [PAID] * 4
    assert [len(ids) for ids in shares] == [2, 2]
    assert not shares[0] & shares[1]
    assert set(ChargeAttempt.objects.on_saved_cards().values_list("tries", flat=True)) == {1}
