"""Stripe's events: taken in by gunicorn, then worked off by a real cluster."""

import copy
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import requests
from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from billing.checkout.payment_page import payment_page
from billing.checkout.place_order import place_order
from billing.models import Payment, StripeEvent
from billing.stripe.webhook_endpoint import register_endpoint
from enrollments.models import User
from notifications.models import DrainSignal, EmailMessage
from orders.cart import add_to_cart
from orders.models import cart_of
from tests.bench import rows
from tests.bench.measure import Case, measured, percentiles_ms, wait_until
from tests.bench.surroundings import (
    ROOT,
    WEBHOOK_SECRET,
    cluster,
    fresh_database,
    port_of,
    stripe_stand_in,
    web,
)
from tests.stripe_events import signature

COUNT = 1000
MOST_SETTLED = 200  # each is an order, placed and paid one by one before
CLIENT_THREADS = 8
LINES = 2
VISA = "4242424242424242"
TYPE = "payment_intent.succeeded"

Event = dict[str, Any]


def run(count: int) -> Iterator[Case]:
    with fresh_database(), stripe_stand_in():
        identity = uuid.uuid4()
        register_endpoint(identity=identity, remote=False)
        path = f"/stripe/webhook/{identity}/"
        paid = _pay_orders(min(count, MOST_SETTLED))
        yield _accept([_like(paid[0], number) for number in range(count)], path)
        yield _settle(paid, path)


def _pay_orders(count: int) -> list[Event]:
    """Place and pay that many orders as parents do; returns Stripe's events, which nobody has posted yet."""
    courses = rows.create_courses(20, capacity=4 * count)
    with requests.Session() as browser:
        for number, guardian in enumerate(rows.create_families(count)):
            page = _open_page(guardian, [courses[(number + line) % 20] for line in range(LINES)])
            browser.post(page, data={"card": VISA}, allow_redirects=False, timeout=10).raise_for_status()
    return _events()


def _open_page(guardian: User, courses: Sequence[Any]) -> str:
    household, now = guardian.household, timezone.now()
    assert household is not None
    child = household.children.all()[0]
    for course in courses:
        add_to_cart(household=household, child=child, course=course, now=now)
    order = cart_of(household)
    place_order(order=order, by=guardian, now=now)
    return payment_page(order=order, by=guardian, now=now)


def _events() -> list[Event]:
    found: list[Event] = []
    query: dict[str, Any] = {"limit": 100, "type": TYPE}
    while True:
        page = requests.get(
            f"{settings.STRIPE_API_HOST}/v1/events",
            params=query,
            headers={"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"},
            timeout=10,
        ).json()
        found += page["data"]
        if not page["has_more"]:
            return found
        query["starting_after"] = found[-1]["id"]


def _like(event: Event, number: int) -> Event:
    """Another event of the same size, of a payment of its own."""
    other = copy.deepcopy(event)
    other["id"] = f"evt_bench{number:06}"
    other["data"]["object"]["id"] = f"pi_bench{number:06}"
    other["data"]["object"]["metadata"] = {
        name: str(uuid.uuid4()) for name in event["data"]["object"]["metadata"]
    }
    return other


def _accept(events: Sequence[Event], path: str) -> Case:
    """No cluster runs: only verifying, storing and queueing."""
    deliveries = _signed(events)
    with web() as pid:
        _deliver(_signed([_like(events[0], 900_000 + number) for number in range(CLIENT_THREADS * 5)]), path)
        StripeEvent.objects.all().delete()
        with measured(pid) as meter:
            answers = _deliver(deliveries, path)
    meter.seconds = answers["seconds"]  # without the start of the clients' process
    stored, is_woken = StripeEvent.objects.count(), OrmQ.objects.exists()
    assert {status for status, _ in answers["answers"]} == {200}
    StripeEvent.objects.all().delete()
    OrmQ.objects.all().delete()
    figures = meter.figures(len(events)) | percentiles_ms([seconds for _, seconds in answers["answers"]])
    lost = len(events) - (stored if is_woken else 0)
    return (
        {"bench": "webhooks", "case": "accept"}
        | figures
        | {"lost": lost, "twice": stored - len(events) + lost}
    )


def _signed(events: Sequence[Event]) -> list[tuple[str, str]]:
    bodies = [json.dumps(event, indent=2) for event in events]
    return [(body, signature(body.encode(), secret=WEBHOOK_SECRET)) for body in bodies]


def _deliver(deliveries: Sequence[tuple[str, str]], path: str) -> dict[str, Any]:
    where = ["127.0.0.1", str(port_of("SITE_URL")), path, str(CLIENT_THREADS)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.clients", *where],
        input=json.dumps(deliveries),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def _settle(events: Sequence[Event], path: str) -> Case:
    """From a full inbox to the last email queued. Sending is another benchmark, so no drain is woken."""
    with web():
        _deliver(_signed(events), path)
    DrainSignal.objects.filter(pk=1).update(is_pending=True)
    waiting = list(OrmQ.objects.filter(lock__isnull=False))
    OrmQ.objects.all().delete()
    with cluster() as pid:
        wanted = len(events) * (1 + LINES)
        with measured(pid, starting=lambda: _queue(waiting)) as meter:
            wait_until(lambda: _owed().count() >= wanted, patience_s=60 + len(events))
        owed = _owed().count()
    payments = Payment.objects.exclude(installment=None).count()
    return {
        "bench": "webhooks",
        "case": "settle",
        **meter.figures(len(events)),
        "lost": len(events) - payments,
        "twice": owed - wanted,
    }


def _owed() -> Any:
    after_payment = ["payment_success", "enrollment_confirmation"]
    return EmailMessage.objects.filter(kind__in=after_payment)


def _queue(tasks: Sequence[OrmQ]) -> None:
    OrmQ.objects.bulk_create(tasks)
