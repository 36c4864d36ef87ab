"""Drains that die: what they leave behind, and that others finish it once."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection

from notifications.models import EmailAttempt, EmailMessage
from tests.notifications.forked import Forked
from tests.notifications.outbox_rows import (
    lose_leases,
    owe,
    posted,
    states,
    tasks_for_staff,
)
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


def is_alone():
    """Whether no process but this one is connected to this test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone() == (0,)


# Rendering `poison` ends its process.
DEADLY = """
render = drain.render
def deadly(kind, context):
    if context.get("poison"):
        os.kill(os.getpid(), 9)
    return render(kind, context)
drain.render = deadly
"""


@pytest.fixture
def drains(committed_db):
    drains = Forked(DEADLY, "drain.drain()")
    yield drains
    drains.close()


@pytest.mark.processes
def test_drains_that_are_killed_lose_nothing_and_double_nothing(mail_server, drains):
    owe(300)
    mail_server.control(latency_ms=200)  # so none has sent all before this test has looked
    unknown = set()

    for seen in (0, 1, 30, 60, 90):
        drains.start()
        wait_until(lambda seen=seen: len(mail_server.requests()) >= seen)
        wait_until(lambda: EmailMessage.objects.filter(status="sending").exists())
        drains.kill()
        wait_until(is_alone)  # what it had asked the database for may still be under way
        left = EmailMessage.objects.filter(status="sending")
        unknown |= set(left.filter(posting_at__isnull=False).values_list("pk", flat=True))
        lose_leases()
        assert set(EmailMessage.objects.filter(status="unknown").values_list("pk", flat=True)) == unknown
        assert not EmailMessage.objects.filter(status="sending").exists()
    drains.start()
    assert drains.end() == 0

    assert Counter(states("status")) == {("sent",): 300 - len(unknown), ("unknown",): len(unknown)}
    assert 0 < len(unknown) < 5 * 2 * django_settings.EMAIL_THREADS
    books = posted(mail_server)
    assert max(books.values()) == 1
    sent = {str(row.public_id) for row in EmailMessage.objects.filter(status="sent")}
    assert sent <= books.keys()
    # A post that was open is unknown, all others have their answer.
    attempts = Counter(EmailAttempt.objects.values_list("outcome", "message__status"))
    assert attempts == {("sent", "sent"): len(sent), ("unknown", "unknown"): len(unknown)}


@pytest.mark.processes
def test_an_email_that_ends_its_process_spends_only_its_own_tries(mail_server, drains):
    owe(7)
    [poison] = owe(1, context={"poison": True})
    owe(12)
    exits = []

    while EmailMessage.objects.filter(status__in=["queued", "sending"]).exists():
        drains.start()
        exits.append(drains.end())
        lose_leases()

    poison.refresh_from_db()
    assert (poison.status, poison.claims, poison.tries) == ("failed", 5, 0)
    assert exits == [-signal.SIGKILL] * 5 + [0] * (len(exits) - 5)
    assert Counter(states()) == {("sent", 1): 19, ("failed", 0): 1}
    assert sorted(posted(mail_server).values()) == [1] * 19
    assert tasks_for_staff() == {"email_failed": 1}
