"""What a drain does when the provider refuses, hesitates or is away."""

from collections import Counter
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django_q.models import OrmQ

from csf.clock import Now
from csf.models import StaffTask
from notifications.models import EmailAttempt, EmailMessage
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from notifications.sending.results import resolve_unknown
from notifications.sending.transport import _Payload
from tests.notifications.mails import SAMPLES
from tests.notifications.outbox_rows import SECOND, make_due, owe, posted, states, tasks_for_staff

FAILED_CONFIRMATIONS = "notifications.emailmessage?kind__exact=enrollment_confirmation&status__exact=failed"


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


def _database_now():
    with connection.cursor() as cursor:
        cursor.execute("SELECT csf_now()")
        return cursor.fetchone()[0]


@pytest.mark.django_db
def test_a_503_is_tried_again_after_60_120_and_240_seconds_then_it_fails(mail_server):
    owe(1, local="status503")
    seen, waits = [], []

    for _ in range(5):
        before = _database_now()
        drain()
        after = _database_now()
        row = EmailMessage.objects.get()
        seen.append((row.status, row.tries))
        waits.append((row.next_attempt_at - after, row.next_attempt_at - before))
        make_due()

    assert seen == [("queued", 1), ("queued", 2), ("queued", 3), ("failed", 4), ("failed", 4)]
    for (shortest, longest), seconds in zip(waits, [60, 120, 240], strict=False):
        assert shortest <= timedelta(seconds=seconds) <= longest
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
