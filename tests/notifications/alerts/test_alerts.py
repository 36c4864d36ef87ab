"""Alerts: a problem is reported when it begins and when it ends, to the log and to a real webhook."""

import json
import threading
import time
import uuid
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from billing.models import StripeEvent, StripeEventStatus
from csf.clock import Now
from csf.jobs.declared import jobs
from csf.jobs.schedules import set_paused
from csf.models import Cluster, Instance, JobRun, StaffTask
from notifications.alerts import report
from notifications.alerts.report import watch
from notifications.alerts.rules import symptoms
from notifications.models import Alert, DrainSignal, EmailAttempt, EmailEvent, EmailMessage
from notifications.task_kinds import EmailTask
from tests.factories import create_cluster, schedule_all_jobs
from tests.waiting import PATIENCE_S

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def running(request, monkeypatch):
    monkeypatch.setattr("notifications.alerts.rules.disk_symptoms", list)  # of this machine
    if "committed_db" not in request.fixturenames:
        request.getfixturevalue("db")
        create_cluster("ours")
        schedule_all_jobs()


@pytest.fixture
def webhook(settings):
    """A receiver on this machine: answers by `answers` (status or seconds to sleep), keeps what it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.got.append(json.loads(body))
            answer = server.answers.pop(0) if server.answers else 200
            if isinstance(answer, float):
                time.sleep(answer)
                answer = 200
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{server.server_port}/hook/s3cret"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def email(age=0 * MINUTE, *, posted=None, **fields):
    """Due since `age`; with `posted`, taken by SendGrid that long ago."""
    message = EmailMessage.objects.create(
        kind="welcome",
        to="parent@example.org",
        fact_id=1,
        dedupe_key=uuid.uuid4().hex,
        context={},
        next_attempt_at=Now() - age,
        **({"status": "sent"} if posted is not None else {}) | fields,
    )
    if posted is not None:
        attempt = EmailAttempt.objects.create(message=message, outcome="sent")
        EmailAttempt.objects.filter(pk=attempt.pk).update(posted_at=Now() - posted)
    return message


def reported(message, name, age=0 * MINUTE):
    EmailEvent.objects.create(
        key=uuid.uuid4().hex,
        outbox_id=message.public_id,
        name=name,
        happened_at=timezone.now(),
        received_at=Now() - age,
    )


def sent(total, *, event=None, bad=0, **fields):
    """So many emails a minute ago, the first of them told of by an event or with these fields."""
    for number in range(total):
        message = email(posted=MINUTE, **(fields if number < bad else {}))
        if event and number < bad:
            reported(message, event)


def stripe_event(age, status=StripeEventStatus.RECEIVED):
    StripeEvent.objects.create(
        stripe_id=uuid.uuid4().hex,
        type="x",
        livemode=False,
        body="{}",
        status=status,
        received_at=Now() - age,
    )


def queued(age, *, key="csf"):
    OrmQ.objects.create(key=key, payload="x", lock=timezone.now() - age)


def scheduled(when, **fields):
    Schedule.objects.filter(name="csf:sweep_emails").update(next_run=timezone.now() + when, **fields)


def found():
    return sorted((sign.name, sign.level.value) for sign in symptoms())


WARN, PAGE = "warning", "page"
CASES = {
    "late 4 min": (lambda: email(4 * MINUTE), []),
    "late 6 min": (lambda: email(6 * MINUTE), [("emails_late", WARN)]),
    "late 16 min": (lambda: email(16 * MINUTE), [("emails_late", PAGE), ("emails_late", WARN)]),
    "late but sent": (lambda: email(DAY, status="sent"), []),
    "unknown 19 min": (lambda: email(status="unknown", posting_at=Now() - 19 * MINUTE), []),
    "unknown 21 min": (
        lambda: email(status="unknown", posting_at=Now() - 21 * MINUTE),
        [("emails_unknown", WARN)],
    ),
    "unknown 31 min": (
        lambda: email(status="unknown", posting_at=Now() - 31 * MINUTE),
        [("emails_unknown", PAGE), ("emails_unknown", WARN)],
    ),
    "two of three failed": (lambda: sent(3, bad=2, status="failed"), []),
    "3 of 150 failed": (lambda: sent(150, bad=3, status="failed"), []),
    "3 of 149 failed": (lambda: sent(149, bad=3, status="failed"), [("failed", WARN)]),
    "3 of 29 failed": (lambda: sent(29, bad=3, status="failed"), [("failed", PAGE), ("failed", WARN)]),
    "3 of 59 bounced": (lambda: sent(59, bad=3, event="bounce"), [("bounced", PAGE), ("bounced", WARN)]),
    "3 of 60 dropped": (lambda: sent(60, bad=3, event="dropped"), [("bounced", WARN)]),
    "1 of 100 complained": (
        lambda: sent(100, bad=1, event="spamreport"),
        [("complained", PAGE), ("complained", WARN)],
    ),
    "delivered": (lambda: sent(5, bad=5, event="delivered"), []),
    "no event for 29 min": (lambda: email(posted=29 * MINUTE), []),
    "no event for 31 min": (lambda: email(posted=31 * MINUTE), [("email_events_silent", WARN)]),
    "no event for 121 min": (
        lambda: email(posted=121 * MINUTE),
        [("email_events_silent", PAGE), ("email_events_silent", WARN)],
    ),
    "an event after it": (lambda: reported(email(posted=121 * MINUTE), "delivered", 120 * MINUTE), []),
    "an event before it": (
        lambda: reported(email(posted=121 * MINUTE), "delivered", 122 * MINUTE),
        [("email_events_silent", PAGE), ("email_events_silent", WARN)],
    ),
    "parked": (lambda: stripe_event(MINUTE, StripeEventStatus.PARKED), [("events_parked", WARN)]),
    "stripe 14 min": (lambda: stripe_event(14 * MINUTE), []),
    "stripe 16 min": (lambda: stripe_event(16 * MINUTE), [("events_late", WARN)]),
    "stripe 61 min": (lambda: stripe_event(61 * MINUTE), [("events_late", PAGE), ("events_late", WARN)]),
    "blocked": (lambda: DrainSignal.report_blocked("HTTP 401"), [("email_sender_blocked", PAGE)]),
    "a kind fails": (lambda: EmailMessage.report_failed("welcome", "no template"), [("email_failed", WARN)]),
    "provider down": (lambda: DrainSignal.not_answered(10), [("provider_down", PAGE)]),
    "no cluster": (lambda: Cluster.objects.update(stopped_at=Now()), [("cluster", PAGE)]),
    "a second cluster was stopped": (
        lambda: create_cluster("second", seen=600, stopped_at=timezone.now()),
        [],
    ),
    "a second cluster is dead": (lambda: create_cluster(seen=100), [("cluster", PAGE)]),
    "two stand still": (
        lambda: (Cluster.objects.update(canary_at=Now() - 4 * MINUTE), create_cluster(canary=240)),
        [("cluster", PAGE), ("cluster", PAGE)],
    ),
    "tasks wait for 1 min": (lambda: queued(MINUTE), []),
    "tasks wait for 3 min": (lambda: queued(3 * MINUTE), [("queue", WARN)]),
    "tasks wait for 6 min": (lambda: queued(6 * MINUTE), [("queue", PAGE), ("queue", WARN)]),
    "a dead cluster's canary waits": (lambda: queued(DAY, key="cluster second"), []),
    "schedules late by 4 min": (lambda: scheduled(-4 * MINUTE), [("schedules", PAGE)]),
    "schedules late by 2 min": (lambda: scheduled(-2 * MINUTE), []),
    "a late schedule is paused": (lambda: scheduled(-DAY, repeats=0), [("job_paused", WARN)]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_threshold(case):
    make, expected = CASES[case]
    assert found() == []

    make()

    assert found() == expected


@pytest.mark.parametrize(
    ("hour", "runs", "is_missed"),
    [
        (9, {0: "done", -1: "done"}, False),
        (9, {-2: "done"}, True),  # yesterday's
        (10.9, {-1: "done"}, False),  # it may take an hour
        (11.1, {-1: "done"}, True),
        (11.1, {-1: "done", 0: "failed"}, True),
        (11.1, {-1: "done", 0: "running"}, True),
        (11.1, {-1: "done", 0: "done"}, False),
    ],
)
def test_a_daily_job_that_was_not_done_is_missed_an_hour_after_its_time(monkeypatch, hour, runs, is_missed):
    now = timezone.make_aware(timezone.datetime(2026, 5, 20)) + timedelta(hours=hour)
    monkeypatch.setattr("csf.clock.now", lambda: now)
    Instance.begin()
    Instance.objects.update(created_at=now - 30 * DAY)
    for day, status in runs.items():
        on = now.date() + timedelta(days=day)
        JobRun.objects.create(job="charge_due_installments", on=on, status=status)

    def names():
        return [sign.name for sign in symptoms() if sign.about == "charge_due_installments"]

    assert names() == (["job_missed"] if is_missed else [])
    set_paused("charge_due_installments", True)
    assert names() == ["job_paused"]


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_ends(webhook, caplog):
    caplog.set_level("INFO")
    Instance.begin()
    late = email(6 * MINUTE)
    for _ in range(3):
        watch()
    EmailMessage.objects.filter(pk=late.pk).update(status="sent")
    for _ in range(3):
        watch()

    alert = Alert.objects.get()
    began, ended = webhook.got
    says = f"emails have been overdue for more than 0:05:00. {alert.todo}"
    assert began == {
        "id": f"local:{alert.pk}:began",
        "instance": "local",
        "site": began["site"],
        "alert": "emails_late",
        "about": "",
        "level": "warning",
        "state": "began",
        "text": f"local: emails_late began (warning): {says}",
        "began_at": alert.began_at.isoformat(),
        "ended_at": None,
    }
    assert (ended["id"], ended["state"]) == (f"local:{alert.pk}:ended", "ended")
    assert ended["ended_at"] == alert.ended_at.isoformat()
    assert [
        record.getMessage() for record in caplog.records if record.name == "notifications.alerts.report"
    ] == [
        f"alert began: emails_late (warning): {says}",
        "alert ended: emails_late (warning)",
    ]


def test_what_gets_worse_is_told_again_and_what_comes_back_is_a_new_alert(webhook):
    Instance.begin()
    late = email(6 * MINUTE)
    watch()
    EmailMessage.objects.filter(pk=late.pk).update(next_attempt_at=Now() - 16 * MINUTE)
    watch()
    EmailMessage.objects.filter(pk=late.pk).update(status="sent")
    watch()
    EmailMessage.objects.filter(pk=late.pk).update(status="queued", next_attempt_at=Now() - 6 * MINUTE)
    watch()

    assert [(got["level"], got["state"]) for got in webhook.got] == [
        (WARN, "began"),
        (PAGE, "began"),
        (WARN, "ended"),
        (PAGE, "ended"),
        (WARN, "began"),
    ]


@pytest.mark.parametrize("fault", [500, 404, 302, 5.0])
def test_a_webhook_that_is_down_hears_everything_later_and_in_order(webhook, monkeypatch, caplog, fault):
    monkeypatch.setattr(report, "POST_TIMEOUT_S", (PATIENCE_S, 1.5 if fault == 5.0 else PATIENCE_S))
    Instance.begin()
    webhook.answers = [fault] * 3
    late = email(6 * MINUTE)
    watch()
    stripe_event(0 * MINUTE, StripeEventStatus.PARKED)
    watch()
    EmailMessage.objects.filter(pk=late.pk).update(status="sent")
    watch()
    tried = len(webhook.got)
    watch()
    watch()

    assert tried == 3  # one try a run, then the next run goes on there
    assert [(got["alert"], got["state"]) for got in webhook.got[3:]] == [
        ("emails_late", "began"),
        ("emails_late", "ended"),
        ("events_parked", "began"),
    ]
    assert {got["id"] for got in webhook.got[:3]} == {webhook.got[3]["id"]}
    assert "the alert webhook did not take" in caplog.text
    assert "s3cret" not in caplog.text


def test_nobody_listens_and_nothing_breaks(settings, caplog):
    settings.ALERT_WEBHOOK_URL = "http://127.0.0.1:1/s3cret"
    Instance.begin()
    email(6 * MINUTE)

    watch()

    assert Alert.objects.get().began_reported_at is None
    assert "ConnectionError" in caplog.text
    assert "s3cret" not in caplog.text


def test_without_a_webhook_the_log_tells_and_one_that_comes_later_hears_only_what_is_news(
    webhook, settings, caplog
):
    address, settings.ALERT_WEBHOOK_URL = settings.ALERT_WEBHOOK_URL, ""
    Instance.begin()
    Alert.objects.create(name="old", level="page", text="x", ended_at=timezone.now() - 2 * DAY)
    email(6 * MINUTE)
    watch()
    assert "alert began: emails_late" in caplog.text

    settings.ALERT_WEBHOOK_URL = address
    watch()

    assert [got["alert"] for got in webhook.got] == ["emails_late"]


def test_a_copy_of_production_calls_nobody(webhook):
    Instance.quarantine()
    email(DAY)

    watch()

    assert (webhook.got, Alert.objects.count()) == ([], 0)


def test_no_run_posts_more_than_fits_into_a_task(webhook):
    Instance.begin()
    for number in range(10):
        Alert.objects.create(name=f"sign{number}", level="page", text="x", ended_at=timezone.now())

    watch()
    first = len(webhook.got)
    watch()
    watch()

    assert first == report.AT_ONCE
    assert len({got["id"] for got in webhook.got}) == len(webhook.got) == 20


def test_two_at_once_tell_once(webhook, committed_db):
    """One waits for the other's rows, and while one posts the other leaves it alone."""
    Instance.begin()
    create_cluster()
    schedule_all_jobs()
    email(6 * MINUTE)
    webhook.answers = [0.5]

    def run():
        try:
            watch()
        finally:
            report.connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Alert.objects.count() == 1
    assert [got["state"] for got in webhook.got] == ["began"]


def test_each_cluster_that_dies_is_told_by_name_when_it_dies_and_when_it_is_back(webhook, running):
    Instance.begin()
    create_cluster("harbour", seen=100)
    watch()
    create_cluster("harbour-2", canary=240)
    watch()
    Cluster.objects.filter(name="harbour").update(seen_at=Now())
    watch()

    assert [(got["alert"], got["about"], got["state"]) for got in webhook.got] == [
        ("cluster", "harbour", "began"),
        ("cluster", "harbour-2", "began"),
        ("cluster", "harbour", "ended"),
    ]
    assert "cluster harbour-2 runs, but no task has come through it since" in webhook.got[1]["text"]
    assert "Restart the worker on that host: systemctl restart csf-cluster." in webhook.got[1]["text"]


def test_a_cluster_that_stands_still_is_told_by_the_watchdog(webhook):
    Instance.begin()
    Cluster.objects.update(canary_at=Now() - 4 * MINUTE)

    with pytest.raises(CommandError) as stopped:
        call_command("cluster_health", "--alert")

    assert stopped.value.returncode == 1  # it is not here
    assert [(got["alert"], got["level"]) for got in webhook.got] == [("cluster", "page")]


def test_a_schedule_watches(webhook):
    Instance.begin()
    StaffTask.open(EmailTask.EMAIL_SENDER_BLOCKED, DrainSignal(pk=1))
    job = jobs()["watch_alerts"]
    module, _, name = job.task.rpartition(".")

    getattr(__import__(module, fromlist=[name]), name)()

    assert job.cron == "* * * * *"
    assert [got["alert"] for got in webhook.got] == ["email_sender_blocked"]
