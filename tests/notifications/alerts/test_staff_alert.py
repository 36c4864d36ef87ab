"""The digest of new staff tasks and alerts, by email to addresses of the school's own."""

import uuid
from datetime import timedelta

import pytest
import requests
from django.db.models import F
from django.utils import timezone

from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.jobs.declared import jobs
from csf.models import Instance, StaffTask
from notifications import tasks
from notifications.alerts.report import watch
from notifications.checks import alerts
from notifications.delivery.events import fold_events
from notifications.models import Alert, DrainSignal, EmailAttempt, EmailEvent, EmailMessage, Suppression
from notifications.rendering.render import render
from notifications.sending.drain import drain
from notifications.sending.results import fail, resolve_unknown
from notifications.task_kinds import EmailTask
from tests.factories import create_cluster, create_household, schedule_all_jobs

MINUTE = timedelta(minutes=1)
OFFICE, OWNER = "office@example.org", "owner@example.org"


@pytest.fixture(autouse=True)
def running(settings, request, monkeypatch):
    monkeypatch.setattr("notifications.alerts.rules.disk_symptoms", list)  # of this machine
    if "committed_db" not in request.fixturenames:
        request.getfixturevalue("db")
    settings.STAFF_ALERT_EMAILS = [OFFICE]
    Instance.begin()
    create_cluster()
    schedule_all_jobs()


def digests():
    return EmailMessage.objects.filter(kind="staff_alert").order_by("pk")


def task(kind=MoneyTask.REFUND_TO_APPROVE):
    StaffTask.open(kind, create_household(name="Secret"), "Pat Secret, pat@example.org")


def later(minutes=16):
    """As if all digests had been written earlier by so much."""
    for mail in digests():
        window = int(mail.dedupe_key.split(":")[1]) - 1
        EmailMessage.objects.filter(pk=mail.pk).update(
            created_at=F("created_at") - minutes * MINUTE, dedupe_key=f"staff_alert:{window}:{uuid.uuid4()}"
        )


def run_for(minutes):
    """The schedule over that time, each digest failing; returns how many were written."""
    count = digests().count()
    for _ in range(0, minutes, 16):
        watch()
        for mail in digests().filter(status="queued"):
            EmailMessage.objects.filter(pk=mail.pk).update(status="sending")
            fail(mail, "HTTP 400")
        later()
    return digests().count() - count


def test_the_digest_counts_what_is_new_and_links_to_it_without_names(settings):
    settings.STAFF_ALERT_EMAILS = [OFFICE, OWNER]
    task()
    task()
    task(MoneyTask.DISPUTE)
    DrainSignal.not_answered(10)

    watch()

    first, second = digests()
    assert [(mail.to, mail.recipient, mail.context["first_name"]) for mail in (first, second)] == [
        (OFFICE, None, ""),
        (OWNER, None, ""),
    ]
    window = int(timezone.now().timestamp() // 900)
    assert first.dedupe_key.startswith(("staff_alert:" + str(window), "staff_alert:" + str(window - 1)))
    assert first.expires_at - timezone.now() > timedelta(hours=23)
    mail = render("staff_alert", first.context)
    assert mail.subject.endswith(": 4 new things to look at")
    for line in (
        "Refund to approve or reject: 2 new ",
        "/admin/csf/stafftask/?state=open&kind__exact=refund_to_approve",
        "Payment disputed by the family's bank: 1 new ",
        "provider_down: Look at it now: SendGrid accepted none of the last 10 posts. Check",
        "/admin/notifications/alert/",
        "3 staff tasks are open in total.",
    ):
        assert line in " ".join(mail.text.split())
    assert "Secret" not in mail.text + mail.html + str(first.context)
    assert "pat@" not in mail.text + mail.html


def test_at_most_one_in_15_minutes_and_each_thing_once(settings):
    counts = []
    for _ in range(3):
        watch()
    counts.append(digests().count())
    task()
    for _ in range(3):
        watch()
        task(MoneyTask.DISPUTE)
    counts.append(digests().count())
    later(14)
    watch()
    counts.append(digests().count())
    later(2)
    for _ in range(3):
        watch()
    counts.append(digests().count())
    later()
    watch()
    counts.append(digests().count())

    assert counts == [0, 1, 1, 2, 2]
    told = [[(row["title"], row["count"]) for row in mail.context["tasks"]] for mail in digests()]
    assert told == [
        [("Refund to approve or reject", 1)],
        [("Payment disputed by the family's bank", 3)],
    ]


def test_what_was_decided_or_ended_by_then_is_not_told():
    task()
    watch()
    task(MoneyTask.DISPUTE)
    DrainSignal.not_answered(10)
    watch()
    StaffTask.objects.filter(kind=MoneyTask.DISPUTE).update(closed_at=Now())
    DrainSignal.answered()
    later()
    watch()

    assert [len(mail.context["tasks"]) for mail in digests()] == [1]
    assert Alert.objects.get().ended_at


def test_off_without_addresses_and_in_a_copy_of_production(settings):
    settings.STAFF_ALERT_EMAILS = []
    task()
    watch()
    Instance.quarantine()
    settings.STAFF_ALERT_EMAILS = [OFFICE]
    watch()
    assert digests().count() == 0

    Instance.lift_quarantine()
    watch()
    assert digests().count() == 1


def bounce(mail):
    EmailEvent.objects.create(
        key=uuid.uuid4().hex,
        outbox_id=mail.public_id,
        name="bounce",
        bounce_type="bounce",
        happened_at=timezone.now(),
    )


def test_a_digest_that_fails_leads_to_no_other():
    task()

    assert run_for(minutes=300) == 1

    # It is told where email is not needed: as a task, and as an alert to log and webhook.
    assert StaffTask.objects.open().filter(kind=EmailTask.EMAIL_FAILED).count() == 1
    assert Alert.objects.filter(name="email_failed", ended_at=None).count() == 1
    StaffTask.objects.filter(kind=EmailTask.EMAIL_FAILED).update(closed_at=Now())
    assert run_for(minutes=60) == 0
    task(MoneyTask.DISPUTE)
    assert run_for(minutes=300) == 1


def test_digests_that_fail_in_numbers_make_no_alert_of_their_own(settings):
    settings.STAFF_ALERT_EMAILS = [f"staff{number}@example.org" for number in range(5)]
    task()
    watch()
    for mail in digests():
        EmailMessage.objects.filter(pk=mail.pk).update(status="failed")
        EmailAttempt.objects.create(message=mail, outcome="refused")
        bounce(mail)
    watch()

    assert set(Alert.objects.values_list("name", flat=True)) <= {"email_events_silent"}
    later()
    watch()
    assert digests().count() == 5


@pytest.mark.parametrize("what", ["bounced", "unknown", "suppressed", "suppressed later"])
def test_a_digest_that_does_not_arrive_leads_to_no_other(what, mail_server):
    def goes_wrong(mail):
        if what == "bounced":
            EmailMessage.objects.filter(pk=mail.pk).update(status="sent")
            bounce(mail)
            fold_events()
        elif what == "unknown":
            for _ in range(2):
                EmailAttempt.objects.create(message=mail, outcome="unknown")
            EmailMessage.objects.filter(pk=mail.pk).update(
                status="unknown", posting_at=Now() - timedelta(hours=1)
            )
            resolve_unknown()
        else:
            drain()

    if what.startswith("suppressed"):
        Suppression.objects.create(address=OFFICE, scope="all", cause="bounced", detail="550")
    task()
    written = []
    for _ in range(10):
        watch()
        for mail in digests().filter(status="queued"):
            goes_wrong(mail)
        written.append(digests().count())
        if what == "suppressed later":
            StaffTask.objects.filter(kind=EmailTask.EMAIL_SUPPRESSED).update(closed_at=Now())
        later()

    assert written == [1] * 10
    kinds = {"bounced": EmailTask.EMAIL_BOUNCED, "unknown": EmailTask.EMAIL_UNKNOWN}
    kind = kinds.get(what, EmailTask.EMAIL_SUPPRESSED)
    assert StaffTask.objects.filter(kind=kind).count() == 1


def test_without_the_guard_each_bounce_would_lead_to_the_next(monkeypatch):
    monkeypatch.setattr("notifications.alerts.report.about_these_emails", lambda tasks: set())
    task()
    for _ in range(5):
        watch()
        for mail in digests().filter(status="queued"):
            EmailMessage.objects.filter(pk=mail.pk).update(status="sent")
            bounce(mail)
            fold_events()
        later()

    assert digests().count() == 5


def test_trouble_with_a_familys_email_is_told():
    household = create_household()
    mail = EmailMessage.objects.create(
        kind="welcome",
        to="parent@example.org",
        recipient=household.guardians.get(),
        fact_id=1,
        dedupe_key="x",
        context={},
    )
    StaffTask.open(EmailTask.EMAIL_BOUNCED, mail)
    EmailMessage.report_failed("welcome", "no template")

    watch()

    (digest,) = digests()
    assert {row["title"] for row in digest.context["tasks"]} == {
        EmailTask.EMAIL_BOUNCED.label,
        EmailTask.EMAIL_FAILED.label,
    }
    assert digest.context["alerts"] == []  # "email_failed" would say the task once more


def test_the_schedule_writes_it_and_the_outbox_sends_it(committed_db, mail_server, settings):
    settings.STAFF_ALERT_EMAILS = [OFFICE]
    task()

    tasks.watch_alerts()
    drain()

    job = jobs()["watch_alerts"]
    assert (job.task, job.cron) == ("notifications.tasks.watch_alerts", "* * * * *")
    (sent,) = requests.get(f"{mail_server.url}/_messages", timeout=60).json()
    assert sent["kind"] == "staff_alert"
    assert digests().get().status == "sent"
    assert StaffTask.objects.get().emailed_at


@pytest.mark.parametrize(
    ("addresses", "is_refused"), [([OFFICE], False), ([OFFICE, "owner"], True), ([], False)]
)
def test_what_is_no_address_is_refused_at_start(settings, addresses, is_refused):
    settings.STAFF_ALERT_EMAILS = addresses

    assert ("csf.E015" in {error.id for error in alerts()}) is is_refused
