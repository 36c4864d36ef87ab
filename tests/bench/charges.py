"""Installments that are due, charged on their saved cards by a real cluster with two workers.

With no pace, so the workers, their threads (STRIPE_CHARGE_THREADS) and Stripe's answers, LATENCY_S each,
decide. Sending the emails is another benchmark, so no drain is woken. The statements are counted before, in
this process.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from django.conf import settings
from django.utils import timezone

from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.models import Card, ChargeAttempt, Installment, InstallmentStatus, Payment, StripeCustomer
from csf.dates import local_date
from csf.jobs.queue import enqueue
from notifications.models import DrainSignal
from tests.bench.measure import Case, counted_statements, measured, wait_until
from tests.bench.plans import create_plans
from tests.bench.surroundings import cluster, fresh_database, stripe_stand_in

COUNT = 1000
LATENCY_S = 0.1
WARM_UP = 40  # enough to wake the second worker
CLIENT_THREADS = 4
PATIENCE_S = 60.0


def run(count: int) -> Iterator[Case]:
    os.environ["STRIPE_CHARGES_PER_S"] = "0"
    settings.STRIPE_CHARGES_PER_S = 0
    with fresh_database(), stripe_stand_in() as stripe:
        DrainSignal.objects.filter(pk=1).update(is_pending=True)
        statements = _statements_of(WARM_UP)
        with cluster() as pid:
            _ask("POST", "/_faults", json={"kind": "delay", "seconds": LATENCY_S})
            plan_at_stripe(WARM_UP)
            start_due()
            wait_until(_all_paid, patience_s=PATIENCE_S)
            plan_at_stripe(count)
            before = len(_books()["posts"])
            with measured(pid, starting=_wake, apart=stripe) as meter:
                wait_until(_all_paid, patience_s=PATIENCE_S + count)
        books = _books()
        assert start_due() == 0, "the job starts the same again"
        yield (
            {"bench": "charges", "case": "charge"}
            | meter.figures(count)
            | {
                "workers": settings.STRIPE_CHARGE_WORKERS,
                "threads": settings.STRIPE_CHARGE_THREADS,
                "statements": round(statements / WARM_UP, 1),
                "requests": round((len(books["posts"]) - before) / count, 1),
                "stripe_cpu_s_per_1000": round(1000 * meter.apart_cpu_s / count, 2),
            }
            | _check(books)
        )


def _wake() -> None:
    enqueue("tests.bench.charges.start_due")


def start_due() -> int:
    """The daily job, without its record of the day."""
    return start_charges([InstallmentStatus.SCHEDULED], on=local_date(timezone.now())).done


def _all_paid() -> bool:
    return not Installment.objects.filter(number=2).exclude(status=InstallmentStatus.PAID).exists()


def _statements_of(count: int) -> int:
    plan_at_stripe(count)
    with counted_statements() as statements:
        start_due()
        while charge_waiting():
            pass
    return statements.count


def plan_at_stripe(count: int) -> None:
    """Families whose second part is due today; Stripe knows them and their cards."""
    known = Card.objects.count()
    create_plans(count, due_on=local_date(timezone.now()))
    cards = list(Card.objects.order_by("pk")[known:])
    with ThreadPoolExecutor(CLIENT_THREADS) as pool:
        answers = list(pool.map(_save_at_stripe, [card.stripe_payment_method_id for card in cards]))
    customers = {customer.household_id: customer for customer in StripeCustomer.objects.all()}
    for card, (customer_id, method_id) in zip(cards, answers, strict=True):
        customers[card.household_id].stripe_id = customer_id
        card.stripe_payment_method_id = method_id
    StripeCustomer.objects.bulk_update(customers.values(), ["stripe_id"], batch_size=1000)
    Card.objects.bulk_update(cards, ["stripe_payment_method_id"], batch_size=1000)


def _save_at_stripe(name: str) -> tuple[str, str]:
    customer = _ask("POST", "/v1/customers", data={"name": name})["id"]
    method = _ask("POST", "/v1/payment_methods/pm_card_visa/attach", data={"customer": customer})["id"]
    return customer, method


def _ask(method: str, path: str, **given: Any) -> Any:
    headers = {"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"}
    answer = requests.request(
        method, f"{settings.STRIPE_API_HOST}{path}", headers=headers, timeout=60, **given
    )
    answer.raise_for_status()
    return answer.json()


def _books() -> Any:
    return _ask("GET", "/_books")


def _check(books: Any) -> Case:
    """Stripe's books against ours."""
    due = Installment.objects.filter(number=2)
    invoices = books["invoices"]
    assert {str(key) for key in due.values_list("public_id", flat=True)} == invoices.keys()
    assert all(len(found) == 1 for found in invoices.values()), "two invoices for an installment"
    charges = Counter(charge["customer"] for charge in books["charges"] if charge["succeeded"])
    customers = set(StripeCustomer.objects.values_list("stripe_id", flat=True))
    attempts = ChargeAttempt.objects.filter(kind="auto").count()
    paid = Payment.objects.filter(installment__in=due, installment__status=InstallmentStatus.PAID)
    assert paid.count() == due.count(), "an installment is not paid"
    return {
        "lost": len(customers - charges.keys()),
        "twice": charges.total() - len(charges) + attempts - due.count(),
    }
