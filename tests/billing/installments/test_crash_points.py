"""A worker that dies at any commit or request of a charge: the sweeps finish it, and the family pays once.

A charge is a row of steps: each commit and each request to Stripe. A first run counts them; then the worker
is killed right before and right after each, and what the job and the minute's sweeps make of the rest is
looked at in our rows and in Stripe's own books.
"""

import random
import uuid
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.installments import attempts
from billing.installments.attempts import run_attempt
from billing.installments.charging import recover_charges
from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, Installment
from billing.stripe import gateway
from csf.proofs.invariants import violations
from notifications.models import DrainSignal, EmailMessage
from tests.billing.crash_steps import Killed, Steps
from tests.billing.story import PAID, story
from tests.shop import DUE, RETRY, money_moved, order_with_plan

STEPS = [
    "commit",  # the attempt
    "commit",  # a worker is woken
    "commit",  # the attempt is taken
    "post invoices",
    "commit",  # its id
    "post invoiceitems",
    "post finalize",
    "post pay",
    "commit",  # the payment
    "commit",  # the sender of emails is woken
]
POINTS = range(2 * len(STEPS))


def job_and_worker(installment: Installment) -> None:
    start_charges(DUE, on=installment.due_on)
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def dies(installment: Installment, *, at: int) -> list[str]:
    """The names of the steps that were begun."""
    steps = Steps(at)
    with suppress(Killed), steps.watched():
        job_and_worker(installment)
    connection.close()  # as of a process that is gone
    return steps.names


def sweep(installment: Installment) -> None:
    """Later: leases are over, the job runs again, and what is not known is due to be looked at."""
    attempts = ChargeAttempt.objects.on_saved_cards()
    for _ in range(3):
        attempts.exclude(leased_until=None).update(leased_until=timezone.now() - timedelta(seconds=1))
        recover_charges()
        attempts.exclude(next_look_at=None).update(next_look_at=timezone.now() - timedelta(seconds=1))
        job_and_worker(installment)


def end(shop: Any, installment: Installment) -> dict[str, Any]:
    mails = EmailMessage.objects.filter(context__order_number=installment.order.number, context__number=2)
    return story(installment) | {
        "money": money_moved(shop, installment),
        "invoices": len(shop.server.books()["invoices"].get(str(installment.public_id), [])),
        "mails": sorted(mails.values_list("kind", flat=True)),
    }


def paid_once(installment: Installment) -> dict[str, Any]:
    return PAID | {"money": [installment.amount_cents], "invoices": 1, "mails": ["payment_success"]}


def fresh(shop: Any) -> Installment:
    shop.server.control("POST", "/_reset")  # each family has a customer of its own
    installment = order_with_plan(shop)
    DrainSignal.clear()  # so that the charge has to wake the sender
    return installment


@pytest.mark.xdist_group("races")
def test_a_worker_that_dies_at_any_commit_or_request_charges_once(shop, committed_db):
    installment = fresh(shop)
    assert dies(installment, at=-1) == STEPS
    assert end(shop, installment) == paid_once(installment)

    for point in POINTS:
        installment = fresh(shop)
        assert dies(installment, at=point) == STEPS[: point // 2 + 1]
        sweep(installment)
        assert (point, end(shop, installment)) == (point, paid_once(installment))

    assert violations() == []


@pytest.mark.chaos
@pytest.mark.xdist_group("races")
def test_a_second_worker_that_dies_while_it_repairs_charges_once(shop, committed_db):
    for first, second in random.Random(1).sample([*product(POINTS, POINTS)], 100):
        installment = fresh(shop)
        dies(installment, at=first)
        ChargeAttempt.objects.on_saved_cards().exclude(leased_until=None).update(leased_until=timezone.now())
        recover_charges()
        ChargeAttempt.objects.on_saved_cards().exclude(next_look_at=None).update(next_look_at=timezone.now())
        dies(installment, at=second)
        sweep(installment)
        assert (first, second, end(shop, installment)) == (first, second, paid_once(installment))

    assert violations() == []


@pytest.mark.xdist_group("races")
@pytest.mark.parametrize(
    ("without", "most"),
    [
        ("keys", 1),
        ("ids", 1),
        ("keys and ids", 2),
    ],
)
def test_without_both_of_its_guards_the_same_crashes_charge_twice(
    shop, committed_db, monkeypatch, without, most
):
    """The negative control. Stripe's keys and the stored id of the invoice guard the money, each alone."""
    if "keys" in without:
        request = gateway._Client.request

        def with_any_key(client, method, url, headers, *args, **options):
            headers = headers | {"Idempotency-Key": str(uuid.uuid4())}
            return request(client, method, url, headers, *args, **options)

        monkeypatch.setattr(gateway._Client, "request", with_any_key)
    if "ids" in without:
        ensure = attempts.ensure_invoice

        def forget(installment, **options):
            installment.stripe_invoice_id = None
            return ensure(installment, **options)

        monkeypatch.setattr(attempts, "ensure_invoice", forget)
        monkeypatch.setattr(gateway, "find_invoice", lambda **options: None)
    charged = []
    after_pay = 2 * STEPS.index("post pay") + 1
    for point in (7, 11, after_pay, after_pay + 1):  # after the invoice, its line, and the payment
        installment = fresh(shop)
        dies(installment, at=point)
        sweep(installment)
        charged.append(len(money_moved(shop, installment)))

    assert max(charged) == most


PATHS = ["/v1/invoices", "/v1/invoiceitems", "/v1/invoices/*/finalize", "/v1/invoices/*/pay"]


@pytest.mark.parametrize("kind", ["error_before", "error_after"])
@pytest.mark.parametrize("path", PATHS)
def test_an_error_that_stripe_repeats_for_a_day_charges_once_in_the_end(shop, kind, path):
    """A 500 is kept under its key: until Stripe forgets it, the same request is never answered otherwise."""
    installment = order_with_plan(shop)
    fault = {"path": path, "method": "POST", "kind": kind, "stored": True, "times": 1}
    shop.server.control("POST", "/_faults", [fault])

    job_and_worker(installment)
    sweep(installment)
    attempts = ChargeAttempt.objects.on_saved_cards()
    attempts.update(created_at=timezone.now() - timedelta(hours=25))
    shop.server.control("POST", "/_clock", {"advance": 25 * 3600})
    sweep(installment)
    installment.refresh_from_db()
    if installment.next_try_on:
        start_charges(RETRY, on=installment.next_try_on)
        sweep(installment)

    assert end(shop, installment) == paid_once(installment) | {"attempts": story(installment)["attempts"]}
    assert story(installment)["attempts"][-1] == "succeeded"
    assert violations() == []
