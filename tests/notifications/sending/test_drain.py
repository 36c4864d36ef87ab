"""What a drain makes of due emails, with the provider's books as witness; and what is left when it dies."""

import os
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import replace

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from csf.clock import Now
from notifications import tasks
from notifications.models import DrainSignal, EmailAttempt, EmailMessage, EmailStatus
from notifications.registry import EMAILS
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from notifications.sending.results import settle
from notifications.sending.transport import Outcome, Result
from tests.notifications.outbox_rows import (
    SECOND,
    lose_leases,
    owe,
    posted,
    states,
    tasks_for_staff,
)
from tests.rivals import at_once
from tests.waiting import PATIENCE_S, wait_until


@pytest.mark.django_db
def test_due_emails_are_sent_once_and_kept_as_they_were_sent(mail_server):
    owe(40)
    later = owe(next_attempt_at=Now() + 60 * SECOND)

    drain()
    drain()

    rows = list(EmailMessage.objects.exclude(pk=later[0].pk))
    assert {(row.status, row.tries, row.claims, row.leased_until, row.error) for row in rows} == {
        ("sent", 1, 0, None, "")
    }
    seen = {message["custom_args"]["outbox_id"]: message for message in mail_server.messages()}
    assert {
        outbox_id: (m["to"], m["subject"], m["text"], m["html"], m["custom_args"]["outbox_try"], m["kind"])
        for outbox_id, m in seen.items()
    } == {str(row.public_id): ([row.to], row.subject, row.text, row.html, "1", row.kind) for row in rows}
    assert {
        (a.message.public_id.hex, a.outcome, a.http_status, a.provider_message_id)
        for a in EmailAttempt.objects.select_related("message")
    } == {(i.replace("-", ""), "sent", 202, m["message_id"]) for i, m in seen.items()}
    assert len(mail_server.requests()) == EmailAttempt.objects.count() == 40
    assert states("status")[-1:] == [("queued",)]


@pytest.mark.django_db
def test_a_hundred_emails_cost_fewer_statements_than_emails(mail_server):
    owe(100)

    with CaptureQueriesContext(connection) as queries:
        drain()

    assert states("status") == [("sent",)] * 100
    statements = [query for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) < 100


@pytest.mark.django_db
def test_urgent_emails_go_first(mail_server, settings):
    settings.EMAIL_THREADS = 1
    owe(20)
    owe(1, local="urgent", priority=1)

    drain()

    first, *_ = mail_server.requests()
    assert first["to"] == ["urgent+20@example.org"]


@pytest.mark.django_db
def test_broken_emails_fail_beside_good_ones(mail_server, monkeypatch):
    owe(5)
    owe(1, context={"weekday": "Monday"})
    owe(1, to="nobody at all")
    owe(1, to="jos\u00e9@example.org")
    broken = replace(EMAILS["payment_success"], still_true=lambda facts: 1 / 0)
    monkeypatch.setitem(EMAILS, "payment_success", broken)
    owe(1, kind="payment_success")

    drain()

    assert states("status") == [("sent",)] * 5 + [("failed",)] * 4
    assert all(error for (error,) in states("error")[5:])
    assert tasks_for_staff() == {"email_failed": 2}  # one a kind
    assert len(posted(mail_server)) == 5


@pytest.mark.django_db
def test_what_came_too_late_or_is_no_longer_true_is_not_sent(mail_server):
    owe(1, expires_at=Now() - SECOND)
    owe(1, kind="order_confirmation", fact_id=0)  # no such order is alive
    owe(1, expires_at=Now() + 60 * SECOND)

    drain()

    assert states("status", "leased_until") == [("expired", None), ("expired", None), ("sent", None)]
    assert len(mail_server.requests()) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("status", [status for status in EmailStatus if status != "sending"])
@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.UNKNOWN, Outcome.HELD_BACK, Outcome.REFUSED])
def test_a_late_answer_leaves_alone_what_others_have_decided(status, outcome):
    [row] = owe(1, status=status, tries=1)
    attempt = EmailAttempt.objects.create(message=row)
    before = EmailMessage.objects.values().get()

    settle([(attempt, Result(outcome, retry_after_s=1))])

    assert EmailMessage.objects.values().get() == before


@pytest.mark.django_db
def test_a_claim_reads_the_most_urgent_without_sorting_the_rest():
    owe(3)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")  # then only a plan that cannot do without one sorts

    plan = EmailMessage.objects.due().select_for_update(skip_locked=True)[:2].explain()

    assert "notifications_email_due" in plan
    assert "Sort" not in plan


@pytest.mark.django_db
def test_a_late_answer_does_not_settle_a_later_try():
    [row] = owe(1, status="sending", tries=1)
    attempt = EmailAttempt.objects.create(message=row)
    EmailMessage.objects.update(tries=2)

    settle([(attempt, Result(Outcome.NOT_SENT))])

    assert states() == [("sending", 2)]


@pytest.mark.django_db
def test_a_drain_that_lost_its_rows_while_it_stood_still_posts_none_of_them():
    owe(3)
    lost = EmailMessage.objects.claim(16)
    lose_leases()
    taken = [*EmailMessage.objects.claim(1), *EmailMessage.objects.claim(1), *EmailMessage.objects.claim(1)]

    assert [row.pk for row in taken] == [row.pk for row in lost]
    assert drain_module._fence(lost) == []
    assert [len(drain_module._fence([row])) for row in taken] == [1, 1, 1]
    assert drain_module._fence(taken[:1]) == []


@pytest.mark.django_db
def test_an_email_that_came_back_unposted_is_claimed_alone():
    first, second, back, last = owe(4)
    EmailMessage.objects.filter(pk=back.pk).update(claims=1)

    claims = [[row.pk for row in EmailMessage.objects.claim(16)] for _ in range(3)]

    assert claims == [[first.pk, second.pk, last.pk], [back.pk], []]


def test_an_email_that_somebody_has_locked_holds_up_no_other(mail_server, committed_db):
    locked, *_ = owe(5)
    with psycopg.connect(os.environ["DATABASE_URL"]) as staff:
        staff.execute("SELECT FROM notifications_emailmessage WHERE id = %s FOR UPDATE", [locked.pk])

        drain()

    assert states() == [("queued", 0)] + [("sent", 1)] * 4


@pytest.mark.django_db
def test_with_all_slots_taken_a_drain_ends_at_once_and_can_be_woken_again(mail_server):
    owe(3)
    DrainSignal.raise_()
    with psycopg.connect(os.environ["DATABASE_URL"]) as others:
        for slot in range(django_settings.EMAIL_DRAINS):
            others.execute("SELECT pg_advisory_lock(%s, %s)", [drain_module.LOCK_CLASS, slot])

        drain()

    assert (states(), mail_server.requests()) == ([("queued", 0)] * 3, [])
    assert not DrainSignal.objects.get().is_pending


def test_two_drains_share_the_work_and_double_nothing(mail_server, committed_db, monkeypatch):
    emails = owe(200)
    claim, both_claimed, shares = drain_module._claim, threading.Barrier(2), defaultdict(list)

    def claim_together(limit):
        rows, mine = claim(limit), shares[threading.get_ident()]
        if not mine:
            both_claimed.wait(PATIENCE_S)
        mine += [row.pk for row in rows]
        return rows

    monkeypatch.setattr(drain_module, "_claim", claim_together)

    at_once(drain, drain)

    assert states() == [("sent", 1)] * 200
    assert sorted(posted(mail_server).values()) == [1] * 200
    assert [len(share) >= drain_module.CLAIM_SIZE for share in shares.values()] == [True, True]
    assert sorted(pk for share in shares.values() for pk in share) == [row.pk for row in emails]


@pytest.mark.django_db
def test_a_drain_wakes_the_next_one_only_for_rows_that_are_due(mail_server, monkeypatch):
    owe(1)
    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "BUDGET_S", 0)
        drain()
    assert (OrmQ.objects.count(), DrainSignal.objects.get().is_pending) == (1, True)

    owe(1, next_attempt_at=Now() + 60 * SECOND)
    drain()

    assert states() == [("sent", 1), ("queued", 0)]
    assert (OrmQ.objects.count(), DrainSignal.objects.get().is_pending) == (1, False)


@pytest.mark.django_db
def test_the_sweep_wakes_a_drain_whatever_happens(monkeypatch):
    DrainSignal.raise_()  # its task was lost
    monkeypatch.setattr(tasks, "recover_lost", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        tasks.sweep_emails()

    assert OrmQ.objects.count() == 1


@pytest.mark.django_db
def test_the_queue_s_timeout_in_the_middle_leaves_nothing_in_doubt(mail_server, settings, monkeypatch):
    settings.EMAIL_THREADS = 3
    owe(30)
    begun, may_go_on, post = [], threading.Event(), drain_module.post
    wait_for_begun = drain_module._Posts._wait

    def held_post(*arguments):
        begun.append(arguments)
        may_go_on.wait(PATIENCE_S)
        return post(*arguments)

    def time_out(posts):
        wait_until(lambda: len(begun) == 3)
        sys.exit("timeout")

    def go_on(posts, seconds):  # by now it has taken back what was not begun
        may_go_on.set()
        wait_for_begun(posts, seconds)

    monkeypatch.setattr(drain_module, "post", held_post)
    monkeypatch.setattr(drain_module._Posts, "settle_some", time_out)
    monkeypatch.setattr(drain_module._Posts, "_wait", go_on)

    with pytest.raises(SystemExit):
        drain()

    assert len(mail_server.requests()) == 3
    assert Counter(states("status", "tries", "leased_until")) == {
        ("sent", 1, None): 3,
        ("queued", 0, None): 27,
    }


@pytest.mark.django_db
def test_a_post_that_never_ends_is_broken_off(mail_server, monkeypatch):
    monkeypatch.setattr(drain_module, "BUDGET_S", 0.2)
    monkeypatch.setattr(drain_module, "GRACE_S", 0.2)
    mail_server.control(slow_ms=60_000)
    owe(1, local="slow")
    start = drain_module._Posts.start

    def start_and_arrive(posts, rows):
        start(posts, rows)
        wait_until(mail_server.requests)

    monkeypatch.setattr(drain_module._Posts, "start", start_and_arrive)

    drain()

    assert states() == [("unknown", 1)]


def test_a_connection_to_the_database_that_drops_loses_no_result(mail_server, committed_db, monkeypatch):
    owe(40)
    mail_server.control(latency_ms=100)
    claim, claimed = drain_module._claim, drain_module.CLAIM_SIZE

    def cut_off(limit):
        if EmailMessage.objects.filter(status="sending").exists():
            wait_until(lambda: len(mail_server.requests()) == claimed)
            connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return claim(limit)

    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "_claim", cut_off)
        with pytest.raises(OperationalError):
            drain()
    assert Counter(states()) == {("sent", 1): claimed, ("queued", 0): 40 - claimed}

    drain()
    assert states() == [("sent", 1)] * 40
    assert sorted(posted(mail_server).values()) == [1] * 40
