"""What a drain makes of due emails, with the provider's books as witness; and what is left when it dies."""

import os
import signal
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from csf.clock import Now
from csf.models import StaffTask
from notifications import tasks
from notifications.models import DrainSignal, EmailAttempt, EmailMessage, EmailStatus
from notifications.registry import EMAILS
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from notifications.sending.results import recover_lost, resolve_unknown, settle
from notifications.sending.transport import Outcome, Result, _Payload
from tests.factories import create_guardian, create_household
from tests.notifications.forked import Forked
from tests.notifications.mails import SAMPLES
from tests.rivals import at_once
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).resolve().parents[3]
SECOND = timedelta(seconds=1)
FAILED_CONFIRMATIONS = "notifications.emailmessage?kind__exact=enrollment_confirmation&status__exact=failed"


def owe(count=1, *, local="pat", kind="enrollment_confirmation", **fields):
    """Due emails to `local`+1, +2, ... at example.org."""
    guardian = create_guardian(household=create_household(), first_name="Pat", last_name="O'Neil, Jr.")
    first = EmailMessage.objects.count()
    return EmailMessage.objects.bulk_create(
        EmailMessage(
            **{
                "kind": kind,
                "recipient": guardian,
                "to": f"{local}+{number}@example.org",
                "fact_id": number,
                "dedupe_key": f"{kind}:test:{number}",
                "context": SAMPLES[kind]["typical"],
            }
            | fields
        )
        for number in range(first, first + count)
    )


def states(*fields):
    """Rows as the database has them, by id."""
    return list(EmailMessage.objects.order_by("pk").values_list(*fields or ("status", "tries")))


def tasks_for_staff():
    return Counter(StaffTask.objects.open().values_list("kind", flat=True))


def posted(server):
    """How often each email came to the provider and was accepted."""
    return Counter(
        request["custom_args"]["outbox_id"] for request in server.requests() if request["accepted"]
    )


def make_due():
    EmailMessage.objects.filter(status="queued").update(next_attempt_at=Now() - SECOND)
    DrainSignal.objects.update(closed_until=None)


def lose_leases():
    EmailMessage.objects.filter(status="sending").update(leased_until=Now() - SECOND)
    recover_lost()


def is_alone():
    """Whether no process but this one is connected to this test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone() == (0,)


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
def test_a_429_closes_the_gate_and_costs_no_try(mail_server):
    mail_server.control(rate_reset_seconds=30)
    owe(1, local="status429", priority=1)
    drain()
    owe(3)

    drain()

    assert states() == [("queued", 0)] * 4
    assert len(mail_server.requests()) == 1
    [attempt] = EmailAttempt.objects.all()
    assert (attempt.outcome, attempt.http_status) == ("not_sent", 429)
    assert not OrmQ.objects.exists()  # nobody is woken to find the gate closed

    EmailMessage.objects.update(to="pat@example.org")
    make_due()
    drain()
    assert states() == [("sent", 1)] * 4


def test_a_short_pause_is_waited_for(mail_server, committed_db):
    mail_server.control(rate_reset_seconds=1, next=["status429"])
    owe(3)

    drain()

    assert states() == [("sent", 1)] * 3


@pytest.mark.django_db
def test_a_revoked_key_stops_everything_and_fails_nothing(mail_server, settings):
    settings.EMAIL_THREADS = 4  # the rest of a claim waits, and is taken back
    mail_server.control(key_revoked=True, latency_ms=500)
    owe(100)
    drain()
    tried = len(mail_server.requests())
    drain()

    assert tried == len(mail_server.requests()) < drain_module.CLAIM_SIZE
    assert states() == [("queued", 0)] * 100
    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == ("email_sender_blocked", "notifications.drainsignal:1")
    assert task.detail.startswith("HTTP 401")

    make_due()
    drain()
    assert StaffTask.objects.count() == 1


@pytest.mark.django_db
def test_a_suspended_account_is_told_to_staff(mail_server):
    mail_server.control(suspended=True)
    owe(3)

    drain()

    assert states() == [("queued", 0)] * 3
    assert StaffTask.objects.get().detail.startswith("HTTP 403")


@pytest.mark.django_db
def test_a_broken_template_opens_one_task_for_all_its_emails(mail_server):
    owe(50, context={"weekday": "Monday"})
    owe(1)

    drain()

    assert Counter(states("status")) == {("failed",): 50, ("sent",): 1}
    task = StaffTask.objects.get()
    assert task.subject == FAILED_CONFIRMATIONS
    assert task.detail.startswith("Enrollment confirmation: ")


@pytest.mark.django_db
def test_a_503_is_tried_again_after_60_120_and_240_seconds_then_it_fails(mail_server):
    owe(1, local="status503")
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")  # stands still within a test
        [now] = cursor.fetchone()
    seen = []

    for _ in range(5):
        drain()
        row = EmailMessage.objects.get()
        seen.append((row.status, row.tries, round((row.next_attempt_at - now).total_seconds())))
        make_due()

    assert seen[:3] == [("queued", 1, 60), ("queued", 2, 120), ("queued", 3, 240)]
    assert [state[:2] for state in seen[3:]] == [("failed", 4)] * 2
    assert tasks_for_staff() == {"email_failed": 1}
    assert list(EmailAttempt.objects.values_list("outcome", "http_status")) == [("not_sent", 503)] * 4


@pytest.mark.django_db
@pytest.mark.parametrize("trouble", ["share_503", "share_cut_before"])
def test_an_outage_is_probed_and_spends_no_email(mail_server, trouble):
    mail_server.control(**{trouble: 1.0})
    owe(100)

    drain()
    in_the_first_drain = len(mail_server.requests())
    assert 10 <= in_the_first_drain <= 2 * django_settings.EMAIL_THREADS
    drain()
    assert len(mail_server.requests()) == in_the_first_drain

    for probe in range(1, 8):  # an hour of it
        make_due()
        drain()
        assert len(mail_server.requests()) == in_the_first_drain + probe

    mail_server.control(**{trouble: 0.0})
    make_due()
    drain()
    assert tasks_for_staff() == {}
    if trouble == "share_503":
        assert states("status") == [("sent",)] * 100
        assert max(states("tries")) <= (2,)
    else:
        unknown = in_the_first_drain + 7
        assert Counter(states("status")) == {("unknown",): unknown, ("sent",): 100 - unknown}


@pytest.mark.django_db
def test_what_is_refused_for_good_goes_to_staff(mail_server):
    owe(1, local="status400")

    drain()
    drain()

    assert states() == [("failed", 1)]
    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == ("email_failed", FAILED_CONFIRMATIONS)
    assert "Bad Request" in task.detail
    assert len(mail_server.requests()) == 1


@pytest.mark.django_db
def test_an_email_whose_file_is_refused_is_sent_without_it_and_staff_know(mail_server, monkeypatch):
    """As anymail posts it by itself: with a charset in the type of each text file."""
    monkeypatch.delattr(_Payload, "add_attachment")
    context = SAMPLES["enrollment_confirmation"]["typical"]
    assert context["calendars"]
    owe(2, context=context)
    owe(1, context=context | {"calendars": []})

    drain()

    assert states() == [("sent", 2), ("sent", 2), ("sent", 1)]
    assert [m["attachments"] for m in mail_server.messages()] == [[]] * 3
    assert not [m for m in mail_server.messages() if "in the attached file" in m["text"] + m["html"]]
    attempts = EmailAttempt.objects.order_by("message_id", "pk").values_list("outcome", "http_status")
    assert list(attempts) == [("refused", 400), ("sent", 202)] * 2 + [("sent", 202)]
    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == (
        "email_without_file",
        "notifications.emailmessage?kind__exact=enrollment_confirmation&is_without_files__exact=1",
    )
    assert "The attachment type cannot contain ';'" in task.detail


@pytest.mark.django_db
def test_an_email_that_is_refused_without_its_file_too_fails(mail_server):
    owe(1, local="status413")

    drain()

    assert states() == [("failed", 2)]
    assert tasks_for_staff() == {"email_without_file": 1, "email_failed": 1}


@pytest.mark.django_db
def test_without_an_answer_one_harmless_copy_is_sent_then_a_person_decides(mail_server, settings):
    owe(1, local="cut")
    owe(1, local="cut", kind="payment_success")
    owe(1, local="cut", expires_at=Now() + 60 * SECOND)
    drain()
    resolve_unknown()  # too early
    assert states() == [("unknown", 1)] * 3
    assert len(mail_server.requests()) == 3

    EmailMessage.objects.filter(expires_at__isnull=False).update(expires_at=Now() - SECOND)
    settings.EMAIL_UNKNOWN_WAIT_S = 0
    resolve_unknown()
    assert states() == [("queued", 1), ("withheld", 1), ("withheld", 1)]
    drain()
    resolve_unknown()
    resolve_unknown()

    assert states() == [("withheld", 2), ("withheld", 1), ("withheld", 1)]
    assert tasks_for_staff() == {"email_unknown": 3}
    assert sorted(posted(mail_server).values()) == [1, 1, 2]
    copies = [m for m in mail_server.messages() if m["to"] == ["cut+0@example.org"]]
    assert [m["custom_args"]["outbox_try"] for m in copies] == ["2", "1"]
    assert len({m["headers"]["Message-ID"] for m in copies}) == 1


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
