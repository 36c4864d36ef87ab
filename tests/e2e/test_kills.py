"""Charges and emails by real processes of every kind, which are killed all the time, while a provider of each
misbehaves. What was lost or doubled is read in the stand-ins' own books."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from django_q.status import Stat

from billing.installments.charging import recover_charges
from billing.installments.dunning import start_charges
from billing.models import BookDifference, ChargeAttempt, Installment, InstallmentStatus, StripeEvent
from billing.stripe.webhook_endpoint import register_endpoint
from csf.dates import local_date
from csf.jobs.queue import enqueue
from csf.models import Instance
from csf.proofs.invariants import violations
from demo.journey.system import WEB
from notifications.daily.reminders import send_installment_reminders
from notifications.delivery.events import fold_events
from notifications.models import EmailAttempt, EmailMessage
from notifications.sending.results import recover_lost, resolve_unknown
from tests.bench.charges import plan_at_stripe
from tests.bench.plans import create_plans
from tests.conftest import ROOT
from tests.notifications import delivered
from tests.notifications.forked import Forked

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.processes

# Each as often as it stands here.
KINDS = [
    *("worker", "main", "worker", "web_worker", "monitor"),
    *("worker", "sentinel", "worker", "pusher", "web_main"),
]
ERROR_AFTER_PAYING = {
    "path": "/v1/invoices/*/pay",
    "method": "POST",
    "kind": "error_after",
    "probability": 0.05,
    "seed": 7,
}
STUCK_AFTER_S = 10
# Leases last seconds, and the queue gives a lost task out again soon.
HASTY = """
from datetime import timedelta
from django.core.management import call_command
from django_q.conf import Conf
from billing.installments import attempts
from billing.models import inbox
from billing.stripe import breaker
from notifications.models import outbox
lease = timedelta(seconds=15)
outbox.LEASE = drain.LEASE = attempts.LEASE = inbox.LEASE = lease
outbox.BACKOFF[:] = [timedelta(seconds=1)] * 3
breaker.OPEN_AFTER = 1_000_000
Conf.RETRY = 15
"""


class Cluster:
    """Forked from a process that has loaded the product, so it is up in a moment; started again as systemd
    and its watchdog would."""

    def __init__(self):
        self._forked = Forked(HASTY, "os.setsid(); call_command('qcluster')")
        self._main = self._forked.start()
        self.restarts = 0

    def pid_of(self, kind, dice):
        """None while it is being started."""
        stat = next((stat for stat in Stat.get_all() if stat.pid == self._main), None)
        if stat is None or not stat.workers:
            return None
        return {
            "worker": dice.choice(stat.workers),
            "main": self._main,
            "sentinel": stat.sentinel,
            "monitor": stat.monitor,
            "pusher": stat.pusher,
        }[kind]

    def restart(self):
        self._end()
        self._main = self._forked.start()
        self.restarts += 1

    def _end(self):
        for kill, pid in ((os.killpg, self._main), (os.kill, self._main)):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        self._forked.end()

    def close(self):
        self._end()
        self._forked.close()


class Web:
    """gunicorn, whose master brings lost workers back."""

    def __init__(self):
        self._start()

    def _start(self):
        bind = f"127.0.0.1:{settings.SITE_PORT}"
        command = [sys.executable, *WEB, "--bind", bind]
        self._main = subprocess.Popen(command, cwd=ROOT, start_new_session=True)

    def pid_of(self, kind, dice):
        workers = psutil.Process(self._main.pid).children()
        if kind == "web_worker":
            return dice.choice(workers).pid if workers else None
        return self._main.pid

    def restart(self):
        self.close()
        self._start()

    def close(self):
        with suppress(ProcessLookupError):
            os.killpg(self._main.pid, signal.SIGKILL)
        self._main.wait()


@contextmanager
def running():
    cluster, web = Cluster(), Web()
    try:
        yield cluster, web
    finally:
        cluster.close()
        web.close()


def sweep():
    """What the minute's tasks do, more often."""
    recover_charges()
    ChargeAttempt.objects.filter(status="unknown").update(next_look_at=timezone.now())
    StripeEvent.objects.due().update(next_try_at=timezone.now())
    recover_lost()
    resolve_unknown()
    while fold_events():
        pass
    if OrmQ.objects.count() < 20:
        for task in ("billing.tasks.charge", "notifications.tasks.drain", "billing.tasks.process_events"):
            enqueue(task)


def progress():
    done = ChargeAttempt.objects.on_saved_cards().exclude(status__in=["created", "sending", "unknown"])
    return done.count() + EmailAttempt.objects.count()


def is_settled(charges):
    paid = Installment.objects.filter(number=2, status=InstallmentStatus.PAID).count()
    return paid == charges and delivered.is_settled() and not StripeEvent.objects.due().exists()


def storm(cluster, web, *, charges, posts, kills):
    """Kill one process after the other, spread over the work; return when all of it is done."""
    dice = random.Random(7)
    killed = Counter()
    give_up_at = time.monotonic() + 600 + (charges + posts) + 10 * kills
    moved_at, last = time.monotonic(), -1
    while sum(killed.values()) < kills or not is_settled(charges):
        assert time.monotonic() < give_up_at, (killed, Counter(EmailMessage.objects.values_list("status")))
        sweep()
        now_done = progress()
        if now_done != last:
            moved_at, last = time.monotonic(), now_done
        elif time.monotonic() - moved_at > STUCK_AFTER_S:
            cluster.restart()  # as the watchdog does
            moved_at = time.monotonic()
        number = sum(killed.values())
        is_time = now_done >= (charges + posts) * (number + 1) // (kills + 1)
        if number < kills and (is_time or is_settled(charges)):
            kind = KINDS[number % len(KINDS)]
            owner = web if kind.startswith("web") else cluster
            if (pid := owner.pid_of(kind, dice)) and psutil.pid_exists(pid):
                time.sleep(dice.random() / 5)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed[kind] += 1
                if kind in {"main", "sentinel", "web_main"}:
                    owner.restart()
        time.sleep(0.1)
    logger.info("killed %s, restarted %s", dict(killed), cluster.restarts)
    return killed


def broken():
    return {(found.number, found.broken, pk) for found in violations() for pk in found.ids}


@pytest.mark.parametrize(
    ("charges", "reminders", "kills"),
    [
        pytest.param(150, 150, 50, id="short", marks=pytest.mark.drill),
        pytest.param(3_000, 7_000, 1_000, id="full", marks=pytest.mark.chaos),
    ],
)
def test_whatever_is_killed_nothing_is_lost_and_nothing_comes_twice(
    committed_db, stripe_server, mail_server, settings, monkeypatch, charges, reminders, kills
):
    settings.EMAIL_UNKNOWN_WAIT_S = 150  # on a busy machine too the events come before
    for name, value in {"Q_WORKERS": "3", "EMAIL_UNKNOWN_WAIT_S": "150", "STRIPE_CHARGES_PER_S": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SENDGRID_WEBHOOK_PUBLIC_KEY", mail_server.public_key)
    Instance.begin()
    today = local_date(timezone.now())
    plan_at_stripe(charges)
    create_plans(reminders, due_on=today + timedelta(days=2))
    before = broken()
    register_endpoint(identity=uuid.uuid4(), remote=True)
    stripe_server.control("POST", "/_faults", [ERROR_AFTER_PAYING])
    mail_server.control(
        event_url=settings.SITE_URL + reverse("sendgrid_events"), latency_ms=20, seed=7, **delivered.FAULTS
    )

    with running() as (cluster, web):
        assert start_charges([InstallmentStatus.SCHEDULED], on=today).done == charges
        assert send_installment_reminders(on=today).done == reminders
        killed = storm(cluster, web, charges=charges, posts=charges + reminders, kills=kills)
        mail_server.control(event_url=None)
    while fold_events():  # those that came last
        pass

    assert set(killed) == set(KINDS)
    books = stripe_server.books()
    paid = Counter(row["payment_intent"] for row in books["charges"] if row["succeeded"])
    assert (len(paid), set(paid.values())) == (charges, {1})
    assert sum(len(rows) for key, rows in books["invoices"].items() if key) == charges
    assert ChargeAttempt.objects.filter(status="unknown").count() == 0
    assert Counter(EmailMessage.objects.values_list("kind", flat=True)) == {
        "payment_success": charges,
        "installment_reminder": reminders,
    }
    delivered.check(mail_server, charges + reminders, copies_at_most=0)
    assert broken() - before == set()
    assert BookDifference.objects.count() == 0
