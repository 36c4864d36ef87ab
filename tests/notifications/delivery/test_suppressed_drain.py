"""What the suppression list keeps back at the moment of sending."""

from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from csf.clock import Now
from csf.models import StaffTask
from notifications.delivery.suppression import suppressed
from notifications.models import EmailMessage, Suppression
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from tests.notifications.delivery.suppressed import SECOND, report, stop
from tests.notifications.outbox_rows import owe, posted, states, tasks_for_staff


@pytest.mark.django_db
def test_nothing_goes_to_a_dead_address_and_staff_are_asked_once(mail_server):
    dead = stop("pat+0@example.org", detail="550 no such user")
    stop("pat+2@example.org", scope="non_essential")
    owe(1, secret="")
    owe(1)
    owe(1, kind="enrollment_confirmation")
    owe(1, kind="credit_added", to="PAT+0@example.org")
    owe(1, expires_at=Now() - SECOND, to="pat+0@example.org")
    EmailMessage.objects.create(
        kind="account_login_code",
        to="pat+0@example.org",
        fact_id=1,
        dedupe_key="code:1",
        context={},
        secret='{"code": "493811"}',
    )

    drain()

    assert states("status", "tries") == [
        ("suppressed", 0),
        ("sent", 1),
        ("sent", 1),
        ("suppressed", 0),
        ("expired", 0),
        ("suppressed", 0),
    ]
    stopped = EmailMessage.objects.filter(status="suppressed")
    assert set(stopped.values_list("error", "leased_until", "secret")) == {
        ("the address does not accept email - 550 no such user", None, "")
    }
    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == ("email_suppressed", f"notifications.suppression:{dead.pk}")
    assert "pat+0@example.org" in task.detail
    assert "493811" not in task.detail
    assert len(mail_server.requests()) == 2


@pytest.mark.django_db
def test_who_called_our_mail_spam_gets_what_is_essential_and_no_more(mail_server):
    stop("pat+0@example.org", scope="non_essential")
    stop("pat+1@example.org", scope="non_essential")
    owe(1, kind="installment_reminder", is_test=True)  # a test is always worth sending
    owe(1, kind="enrollment_confirmation")

    drain()

    assert states("status") == [("suppressed",), ("sent",)]
    assert tasks_for_staff() == {}


@pytest.mark.django_db
def test_the_list_costs_one_statement_a_batch(mail_server):
    owe(16)

    with CaptureQueriesContext(connection) as queries:
        drain()

    assert len([query for query in queries if "notifications_suppression" in query["sql"]]) == 1
    assert suppressed([]) == {}


def test_what_is_claimed_after_an_address_was_stopped_does_not_go(mail_server, committed_db, settings):
    assert _stopped_in_the_middle(mail_server, settings) > 20


def test_without_the_check_it_would_go(mail_server, committed_db, settings, monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(drain_module, "keep_back", lambda rows: rows)

    assert _stopped_in_the_middle(mail_server, settings) == 0


def _stopped_in_the_middle(mail_server, settings):
    """How many of 60 emails to one address stay behind when it is stopped while a drain is under way; no
    email that was claimed later is posted."""
    settings.EMAIL_THREADS = 2
    owe(60, to="pat@example.org")
    claimed_later = []
    claim = drain_module._claim

    def stop_before_the_second(limit):
        is_first = not mail_server.requests()
        if not is_first and not Suppression.objects.exists():
            stop("pat@example.org")
        rows = claim(limit)
        claimed_later.extend(str(row.public_id) for row in rows if not is_first)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drain_module, "_claim", stop_before_the_second)
        drain()
    went = posted(mail_server)
    left = Counter(states("status"))
    assert claimed_later
    assert left["suppressed",] + left["sent",] == 60
    if left["suppressed",]:
        assert not went.keys() & set(claimed_later)
    else:
        assert set(claimed_later) <= went.keys()
    return left["suppressed",]


@pytest.mark.django_db
def test_a_late_event_of_the_first_try_settles_a_suppressed_email():
    [message] = owe(1, status="suppressed")

    report(message, "delivered")

    assert states("status") == [("delivered",)]
