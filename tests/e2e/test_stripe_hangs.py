"""Stripe hangs under a site at work: families browse, press "Pay now" and sign in, 300 events are due.

`bin/test -m drill tests/e2e/test_stripe_hangs.py -s` shows the figures. Stripe hangs for 45 s; CSF_HANG_S=600
makes it ten minutes.
"""

import os
import random
import re
import statistics
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field

import pytest
import requests
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, Refund, StripeEvent
from billing.stripe.webhook_endpoint import register_endpoint
from demo.journey.browser import Browser
from enrollments.models import User
from tests.billing.refunds import approved, paid
from tests.e2e import processes
from tests.factories import create_order
from tests.shop import DUE, Shop, accept, order_with_plan
from tests.waiting import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.processes]

HANG_S = float(os.environ.get("CSF_HANG_S", "45"))
QUIET_S = 20.0
EVENTS = 300
ROUNDS = 3  # a busy machine may spoil one
PATIENCE_S = 900
HEALED_WITHIN_S = 120
TO_NEXT_SWEEP_S = 80  # each minute, by a cluster that looks every 15 s


@dataclass
class Window:
    """Seconds that the catalog took; and, in turns with it, a piece of work that needs nothing of ours, to
    tell how busy the machine was."""

    catalog: list[float] = field(default_factory=list)
    machine: list[float] = field(default_factory=list)

    def look(self, site, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.perf_counter()
            assert requests.get(f"{site}/", timeout=60).status_code == 200
            self.catalog.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            sum(range(1_000_000))
            self.machine.append(time.perf_counter() - begun)
            time.sleep(0.02)


def p95(times):
    return statistics.quantiles(times, n=20)[-1]


def slower(window, *, than):
    """How many times slower the catalog was, but for what the machine itself was slower."""
    catalog, machine = p95(window.catalog) / p95(than.catalog), p95(window.machine) / p95(than.machine)
    return min(catalog, catalog / machine)


class Visitors:
    """What goes on all the time: families press "Pay now" again and again, others sign in."""

    def __init__(self, site, mail_server, orders, emails):
        self.site, self.mail_server, self.emails = site, mail_server, emails
        self.presses, self.codes, self.errors = [], [], []
        self.stop = threading.Event()
        acts = [self._sign_in, *[self._presser(order) for order in orders]]
        self.threads = [threading.Thread(target=self._repeat, args=[act]) for act in acts]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _repeat(self, act):
        while not self.stop.wait(random.uniform(0.5, 1.5)):
            try:
                act()
            except BaseException as error:
                self.errors.append(error)
                return

    def _presser(self, order):
        known = Client()
        known.force_login(order.household.lead)
        session = requests.Session()
        session.cookies.set(settings.SESSION_COOKIE_NAME, known.cookies[settings.SESSION_COOKIE_NAME].value)
        address = f"{self.site}{order.get_absolute_url()}"
        page = session.get(address, timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]

        def press():
            begun = time.monotonic()
            answer = session.post(
                f"{address}pay/",
                {"csrfmiddlewaretoken": token},
                headers={"Referer": address},
                allow_redirects=False,
                timeout=60,
            )
            assert answer.status_code == 302
            self.presses.append(time.monotonic() - begun)

        return press

    def _sign_in(self):
        email = self.emails[len(self.codes) % len(self.emails)]
        before = len(self.mail_server.messages(to=email))
        begun = time.time()
        Browser(self.site).submit("/account/login/code/", {"email": email})
        wait_until(lambda: len(self.mail_server.messages(to=email)) > before, PATIENCE_S)
        self.codes.append(self.mail_server.messages(to=email)[0]["received_at"] - begun)
        self.stop.wait(3)


def tasks_for_the_inbox():
    """That no worker has taken."""
    waiting = OrmQ.objects.filter(lock__lte=timezone.now())
    return sum(row.func() == "billing.tasks.process_events" for row in waiting)


def post_events(stripe, payment_intent):
    """Stripe's webhooks about a payment that we know, so that each needs an answer of Stripe's API."""
    known = StripeEvent.objects.count()
    for _ in range(EVENTS):
        stripe.control("POST", "/_events", {"type": "payment_intent.succeeded", "object": payment_intent})
    wait_until(lambda: StripeEvent.objects.count() == known + EVENTS, PATIENCE_S)


def waiting_events():
    return StripeEvent.objects.filter(status="received")


def is_healed():
    rows = [ChargeAttempt.objects.filter(kind="auto"), Refund.objects.all()]
    statuses = {status for some in rows for status in some.values_list("status", flat=True)}
    return not waiting_events().exists() and statuses == {"succeeded"}


@dataclass
class Round:
    """Stripe works, then it hangs, then it works again."""

    quiet: Window = field(default_factory=Window)
    hanging: Window = field(default_factory=Window)
    healed_s: float = 0.0
    presses: list[float] = field(default_factory=list)
    codes: list[float] = field(default_factory=list)

    def run(self, shop, visitors, part, payment, payment_intent):
        self.quiet.look(visitors.site, QUIET_S)
        presses, codes = len(visitors.presses), len(visitors.codes)
        shop.server.control("POST", "/_faults", [{"kind": "hang", "seconds": HANG_S}])
        post_events(shop.server, payment_intent)
        start_charges(DUE, on=part.due_on)
        approved(payment, 100)
        self.hanging.look(visitors.site, HANG_S)
        assert (waiting_events().count(), waiting_events().exclude(tries=0).count()) == (EVENTS, 0)
        assert tasks_for_the_inbox() <= 1
        self.presses = visitors.presses[presses:]
        shop.server.control("DELETE", "/_faults")
        begun = time.monotonic()
        wait_until(is_healed, PATIENCE_S)
        self.healed_s = time.monotonic() - begun
        self.codes = visitors.codes[codes:]
        self.quiet.look(visitors.site, QUIET_S)

    @property
    def slower(self):
        return slower(self.hanging, than=self.quiet)

    def __str__(self):
        quiet_ms, hanging_ms = p95(self.quiet.catalog) * 1000, p95(self.hanging.catalog) * 1000
        return (
            f"\nthe catalog's p95: {quiet_ms:.0f} ms, while Stripe hangs {hanging_ms:.0f} ms, "
            f"{self.slower:.2f} times as much on the same machine\n"
            f"{len(self.presses)} presses of Pay now meanwhile, the longest {max(self.presses):.1f} s\n"
            f"{len(self.codes)} sign-in codes, the latest after {max(self.codes):.1f} s\n"
            f"healed {self.healed_s:.0f} s after Stripe answered again\n"
        )


def test_the_site_goes_on_while_stripe_hangs_and_all_heals_after(committed_db, stripe_server, mail_server):
    call_command("seed_demo", families=40)  # nobody may ask for many codes an hour
    call_command("sync_schedules")
    accept()
    shop = Shop(stripe_server)
    parts = [order_with_plan(shop) for _ in range(ROUNDS)]
    payment = paid(shop)
    payment_intent = shop.events("payment_intent.succeeded")[-1]["data"]["object"]
    orders = [create_order() for _ in range(3)]
    emails = list(User.objects.filter(email__startswith="parent").values_list("email", flat=True))
    register_endpoint(identity=uuid.uuid4(), remote=True)
    with (
        processes.web() as site,
        processes.cluster(Q_WORKERS="4"),
        Visitors(site, mail_server, orders, emails) as visitors,
    ):
        wait_until(lambda: visitors.codes and visitors.presses, PATIENCE_S)
        begun = time.monotonic()
        post_events(stripe_server, payment_intent)
        wait_until(lambda: not waiting_events().exists(), PATIENCE_S)
        work_s = time.monotonic() - begun  # what must be done after each hang too
        for part in parts:
            done = Round()
            done.run(shop, visitors, part, payment, payment_intent)
            sys.stdout.write(str(done))
            assert max(done.codes) <= 10
            assert statistics.median(done.presses) < 2
            assert max(done.presses) < 10
            assert done.healed_s <= max(HEALED_WITHIN_S, TO_NEXT_SWEEP_S + 1.5 * work_s)
            if done.slower <= 1.5:
                break

    assert visitors.errors == []
    assert done.slower <= 1.5
