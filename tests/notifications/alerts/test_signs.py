"""What is refused, full, paused or missed: planted, seen by name with what to do, and gone again."""

import datetime
import json
import shutil
from collections import namedtuple
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone
from django_q.models import Schedule

from billing.models import StripeEvent
from billing.stripe import breaker, secret_key
from csf.clock import Now
from csf.jobs.declared import daily_jobs, jobs
from csf.jobs.schedules import set_paused
from csf.models import Breaker, Cluster, Instance, JobRun, ProofRun, StaffTask
from notifications.alerts import disks
from notifications.alerts.report import watch
from notifications.alerts.rules import symptoms
from notifications.models import Alert, DrainSignal
from tests.factories import create_cluster, schedule_all_jobs
from tests.stripe_events import create_endpoint, deliver, event_body, signature

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime.datetime(
    2026, 5, 20, 16, 30, tzinfo=datetime.UTC
)  # at the school, an hour after all daily jobs
TODAY = NOON.date()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def all_well(monkeypatch):
    create_cluster()
    schedule_all_jobs()
    cache.clear()
    monkeypatch.setattr(timezone, "now", lambda: NOON)
    set_free(monkeypatch, 500)
    Instance.begin()
    Instance.objects.update(created_at=NOON - 30 * DAY)
    ProofRun.objects.create(mode="full", began_at=NOON - HOUR, finished_at=NOON - HOUR)
    JobRun.objects.bulk_create(JobRun(job=name, on=TODAY, status="done") for name in daily_jobs())


def set_free(monkeypatch, gigabytes):
    usage = Usage(1000 * disks.GB, 0, gigabytes * disks.GB)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def refuse_webhook(monkeypatch):
    create_endpoint()
    body = b"{}"
    assert deliver(body, header=signature(body, secret="whsec_other")) == 400


def refuse_old_webhook(monkeypatch):
    create_endpoint()
    body = json.dumps(event_body()).encode()
    assert deliver(body, header=signature(body, at=(NOON - HOUR).timestamp())) == 400


def believe_webhook(monkeypatch):
    body = json.dumps(event_body()).encode()
    assert deliver(body, header=signature(body, at=NOON.timestamp())) == 200
    StripeEvent.objects.update(status="processed")


def pulled(monkeypatch, age=MINUTE):
    StripeEvent.objects.create(
        stripe_id="evt_1", type="x", livemode=False, body="{}", status="processed", was_pulled=True
    )
    StripeEvent.objects.update(received_at=NOON - age)


def fail_key(monkeypatch):
    secret_key.refused("Expired API Key provided")
    fail_calls(3)


def close_tasks(monkeypatch):
    StaffTask.objects.update(closed_at=Now())
    Breaker.objects.update(failures=0)


def fail_calls(count):
    Breaker.objects.update_or_create(name=breaker.NAME, defaults={"failures": count})


def fail_asking(monkeypatch):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 3)
    fail_calls(2)
    assert list(symptoms()) == []  # a call or two may go wrong
    fail_calls(3)


CASES = {
    "the webhook's secret is another": (
        refuse_webhook,
        [("webhook_refused", "", "page")],
        ["its signature does not match our secret", "STRIPE_WEBHOOK_SECRET"],
        believe_webhook,
    ),
    "the database's clock is an hour ahead": (
        refuse_old_webhook,
        [("webhook_refused", "", "page")],
        ["its signature does not match our secret", "check the database's clock"],
        believe_webhook,
    ),
    "no webhook comes": (
        pulled,
        [("webhook_silent", "", "warning")],
        ["no webhook reported 1 Stripe events in the last 15 minutes", "create_webhook_endpoint --remote"],
        lambda _: StripeEvent.objects.update(received_at=NOON - 16 * MINUTE),
    ),
    "Stripe is away": (
        fail_asking,
        [("stripe_away", "", "page")],
        ["Stripe is not responding", "status.stripe.com"],
        lambda _: Breaker.answered(breaker.NAME),
    ),
    "Stripe's key is revoked": (
        fail_key,
        [("stripe_key_refused", "", "page")],
        ["Stripe rejects our secret key", "STRIPE_LIVE_SECRET_KEY"],
        close_tasks,
    ),
    "SendGrid's key is revoked": (
        lambda _: DrainSignal.report_blocked("HTTP 401"),
        [("email_sender_blocked", "", "page")],
        ["SendGrid refuses our emails", "SENDGRID_API_KEY"],
        close_tasks,
    ),
    "a disk fills": (
        lambda monkeypatch: set_free(monkeypatch, 9),
        [("disk_full", None, "warning")],
        ["9.0 of 1000.0 GB are free on the disk with", "Free up space or enlarge the disk"],
        lambda monkeypatch: set_free(monkeypatch, 11),
    ),
    "a disk is full": (
        lambda monkeypatch: set_free(monkeypatch, 1),
        [("disk_full", None, "warning"), ("disk_full", None, "page")],
        ["1.0 of 1000.0 GB are free on the disk with", "Free up space or enlarge the disk"],
        lambda monkeypatch: set_free(monkeypatch, 11),
    ),
    "a clock goes wrong": (
        lambda _: Cluster.objects.update(clock_ahead_s=-31),
        [("clock_wrong", "elsewhere", "warning")],
        ["the clock of elsewhere is 0:00:31 behind the database's", "Run timedatectl there"],
        lambda _: Cluster.objects.update(clock_ahead_s=-29),
    ),
    "a clock is a day ahead": (
        lambda _: Cluster.objects.update(clock_ahead_s=86_400.4),
        [("clock_wrong", "elsewhere", "warning"), ("clock_wrong", "elsewhere", "page")],
        ["the clock of elsewhere is 1 day, 0:00:00 ahead of the database's", "Run timedatectl there"],
        lambda _: Cluster.objects.update(clock_ahead_s=0),
    ),
    "a job is paused": (
        lambda _: set_paused("charge_due_installments", True),
        [("job_paused", "charge_due_installments", "warning")],
        ["Charge due installments is paused", "Resume it on the System page"],
        lambda _: set_paused("charge_due_installments", False),
    ),
    "a schedule is gone": (
        lambda _: Schedule.objects.filter(name="csf:sweep_emails").delete(),
        [("schedule_missing", "", "page")],
        ["no schedule runs Sweep emails", "Run manage.py sync_schedules"],
        lambda _: Schedule.objects.create(name="csf:sweep_emails", func="x", next_run=timezone.now() + DAY),
    ),
    "a job was missed": (
        lambda _: JobRun.objects.filter(job="purge").update(on=TODAY - DAY),
        [("job_missed", "purge", "page")],
        [
            "Purge was not done on Wed, May 20, 2026, an hour after its time",
            "the last time was Tue, May 19, 2026",
            "Press Run now on the System page",
        ],
        lambda _: JobRun.objects.filter(job="purge").update(on=TODAY),
    ),
    "a job has never run": (
        lambda _: JobRun.objects.filter(job="compare_books").delete(),
        [("job_missed", "compare_books", "page")],
        ["Compare books was not done on Wed, May 20, 2026, an hour after its time; it has never run"],
        lambda _: JobRun.objects.create(job="compare_books", on=TODAY, status="done"),
    ),
    "a job failed": (
        lambda _: JobRun.objects.filter(job="expire_credits").update(status="failed"),
        [("job_missed", "expire_credits", "page")],
        ["Expire credits was not done"],
        lambda _: JobRun.objects.filter(job="expire_credits").update(status="done"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_is_seen_with_what_to_do_and_ends(case, monkeypatch):
    plant, expected, words, mend = CASES[case]
    assert list(symptoms()) == []

    plant(monkeypatch)

    found = list(symptoms())
    assert [(sign.name, sign.level.value) for sign in found] == [(name, level) for name, _, level in expected]
    for sign, (_, about, _) in zip(found, expected, strict=True):
        assert about is None or sign.about == about
        assert [word for word in words if word not in f"{sign.text}. {sign.todo}"] == []
    watch()
    assert Alert.objects.filter(ended_at=None).count() == len(expected)

    mend(monkeypatch)
    assert list(symptoms()) == []
    watch()
    assert not Alert.objects.filter(ended_at=None).exists()


@pytest.mark.parametrize("hours", [0, 1, 24])
def test_after_set_up_no_job_counts_as_missed_before_its_first_time_is_over(hours):
    JobRun.objects.all().delete()
    Instance.objects.update(created_at=NOON - timedelta(hours=hours))

    missed = {sign.about for sign in symptoms()}

    assert missed == (set(daily_jobs()) if hours == 24 else set())


def test_every_daily_job_keeps_its_runs_and_every_sign_says_what_to_do(monkeypatch):
    assert {"charge_due_installments", "purge", "compare_books"} <= set(daily_jobs())
    Schedule.objects.all().delete()
    JobRun.objects.all().delete()
    set_free(monkeypatch, 1)
    refuse_webhook(monkeypatch)

    assert [sign for sign in symptoms() if not sign.todo] == []
    missing = next(sign.text for sign in symptoms() if sign.name == "schedule_missing")
    assert missing.count(",") == len(jobs()) - 1
