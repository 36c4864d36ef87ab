"""Thousands of emails through senders that are killed, a provider that misbehaves and its signed events; the
provider's books say what was lost and what came twice."""

import json
import logging
import random
import time
from collections import Counter
from contextlib import contextmanager

import psutil
import pytest
from django.urls import reverse

from csf.clock import Now
from notifications.delivery.events import fold_events
from notifications.models import EmailAttempt, EmailMessage
from notifications.sending.results import recover_lost, resolve_unknown
from tests.e2e import processes
from tests.factories import create_guardian, create_household
from tests.notifications.delivered import CODE, FAULTS, accepted, check, is_settled, listed_copies
from tests.notifications.forked import Forked
from tests.notifications.mails import SAMPLES

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.processes

CALM = dict.fromkeys(FAULTS, 0.0)
SENDERS = 2
# Of twenty: copies of the second are a person's affair, the third opens an account.
KINDS = ["enrollment_confirmation"] * 16 + ["payment_success"] * 3 + [CODE]


# Leases and pauses last seconds.
HASTY = """
from datetime import timedelta
from notifications.models import outbox
outbox.LEASE = drain.LEASE = timedelta(seconds=5)
outbox.BACKOFF[:] = [timedelta(seconds=1)] * 3
def without_end():
    while True:
        drain.drain()
        time.sleep(0.05)
"""


@contextmanager
def senders():
    running = [Forked(HASTY, "without_end()") for _ in range(SENDERS)]
    try:
        for sender in running:
            sender.start()
        yield running
    finally:
        for sender in running:
            sender.close()


@contextmanager
def provider(mail_server, monkeypatch, **switches):
    """The stand-in, and our site where its signed events are posted to."""
    monkeypatch.setenv("SENDGRID_WEBHOOK_PUBLIC_KEY", mail_server.public_key)
    with processes.web() as address:
        mail_server.control(event_url=address + reverse("sendgrid_events"), latency_ms=20, seed=7, **switches)
        try:
            yield
        finally:
            mail_server.control(event_url=None)


def owe(count):
    guardian = create_guardian(household=create_household(), first_name="Pat")
    rows = [_row(guardian, number, KINDS[number % len(KINDS)]) for number in range(count)]
    EmailMessage.objects.bulk_create(rows, batch_size=1000)


def _row(guardian, number, kind):
    facts = SAMPLES[kind]["typical"]
    told = {"context": {}, "secret": json.dumps(facts)} if kind == CODE else {"context": facts}
    return EmailMessage(
        kind=kind,
        recipient=guardian,
        to=f"pat+{number}@example.org",
        fact_id=number,
        dedupe_key=f"storm:{number}",
        **told,
    )


def sweep():
    """What the minute's task does, more often."""
    recover_lost()
    resolve_unknown()
    while fold_events():
        pass


def weather(running, count, kills, *, sweep=sweep):
    """Kill a sender each time that another part of the emails was posted; return when all is settled."""
    dice = random.Random(7)
    give_up_at = time.monotonic() + 300 + count / 10

    def wait_for(condition):
        while not condition():
            assert time.monotonic() < give_up_at, Counter(
                EmailMessage.objects.values_list("status", flat=True)
            )
            assert all(psutil.pid_exists(sender.child) for sender in running)
            sweep()
            time.sleep(0.05)

    for number in range(1, kills + 1):
        goal = count * number // (kills + 1)
        wait_for(lambda goal=goal: EmailAttempt.objects.count() >= goal)
        wait_for(lambda: something_is_in_flight() or is_settled())
        time.sleep(dice.random() / 20)
        sender = running[number % len(running)]
        sender.kill()
        sender.start()
    wait_for(is_settled)


def something_is_in_flight():
    return EmailMessage.objects.filter(status="sending", posting_at__isnull=False).exists()


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(600, 6, id="short", marks=pytest.mark.drill),
        pytest.param(10_000, 100, id="full", marks=pytest.mark.chaos),
    ],
)
def test_nothing_is_lost_and_nothing_comes_twice(
    committed_db, mail_server, settings, monkeypatch, count, kills
):
    settings.EMAIL_UNKNOWN_WAIT_S = 30  # however slow they are, the events come before
    owe(count)

    with provider(mail_server, monkeypatch, **FAULTS), senders() as running:
        weather(running, count, kills)
        mail_server.wait_for_events()
    sweep()

    check(mail_server, count, copies_at_most=0)
    taken = EmailMessage.objects.filter(public_id__in=accepted(mail_server).keys())
    assert set(taken.values_list("status", flat=True)) == {"delivered"}
    assert taken.filter(kind="enrollment_confirmation").count() == count * 16 // 20


@pytest.mark.parametrize(
    ("count", "kills", "loss"),
    [
        pytest.param(300, 4, 0.5, id="short", marks=pytest.mark.drill),
        pytest.param(10_000, 100, 0.05, id="full", marks=pytest.mark.chaos),
    ],
)
def test_copies_come_only_with_lost_events_and_are_known(
    committed_db, mail_server, settings, monkeypatch, count, kills, loss
):
    settings.EMAIL_UNKNOWN_WAIT_S = 8
    owe(count)

    with provider(mail_server, monkeypatch, event_loss=loss, **FAULTS), senders() as running:
        weather(running, count, kills)
        mail_server.wait_for_events()
    sweep()

    check(mail_server, count, copies_at_most=count * 0.005 if loss == 0.05 else count)


@pytest.mark.drill
def test_to_send_again_what_a_lost_sender_had_would_double_emails(committed_db, mail_server, settings):
    """The negative control."""
    owe(150)
    mail_server.control(latency_ms=500)  # whenever a sender is killed, most of its posts were accepted

    def send_again():
        lost = EmailMessage.objects.filter(status="sending", leased_until__lt=Now())
        lost.update(status="queued", leased_until=None)

    with senders() as running:
        weather(running, 150, 4, sweep=send_again)

    copies = {outbox_id for outbox_id, times in accepted(mail_server).items() if times > 1}
    assert len(copies) > 0
    assert not copies & listed_copies()
