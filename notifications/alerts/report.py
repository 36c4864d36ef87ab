"""Report problems to operators: once when they begin and once when they end, to the log and to a webhook.
Email, which may be what is broken, is only an addition: a digest of new alerts and staff tasks."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import requests
from django.conf import settings
from django.db import connection, transaction

from csf.clock import Now
from csf.database.advisory_locks import free_slot
from csf.jobs.time_budget import within
from csf.models import Instance, StaffTask
from notifications.alerts.digest import COVERED_BY_TASKS, about_these_emails
from notifications.alerts.rule import Symptom
from notifications.alerts.rules import symptoms
from notifications.emails.messages.staff_alert import WINDOW, digests
from notifications.models import Alert, EmailMessage
from notifications.outbox import notify

logger = logging.getLogger(__name__)

POST_TIMEOUT_S = (3.05, 5.0)  # to connect, to answer
LOCK_CLASS = 20_253  # one process reports, the others have nothing to add
AT_ONCE = 8  # posts of one run, if they are not slow
LOG_LEVELS = {Alert.Level.WARNING.value: logging.WARNING, Alert.Level.PAGE.value: logging.ERROR}


def watch() -> None:
    """Open and end alerts, and report to the webhook and the staff what is new to them. In quarantine nothing
    is reported: a copy must not call production's people."""
    if Instance.why_quarantined():
        return
    _record({(symptom.name, symptom.about, symptom.level.value): symptom for symptom in symptoms()})
    if settings.ALERT_WEBHOOK_URL:
        _post_news()
    if settings.STAFF_ALERT_EMAILS:
        _email()


@transaction.atomic
def _record(found: dict[tuple[str, str, str], Symptom]) -> None:
    _wait_for_others()  # or two begin and log the same
    known = {(alert.name, alert.about, alert.level): alert for alert in Alert.objects.filter(ended_at=None)}
    for key in sorted(found.keys() - known.keys()):
        symptom = found[key]
        alert = Alert.objects.create(
            name=symptom.name, about=symptom.about, level=symptom.level, text=symptom.text, todo=symptom.todo
        )
        logger.log(
            LOG_LEVELS[symptom.level], "alert began: %s (%s): %s", alert.title, symptom.level, alert.words
        )
    for key in sorted(known.keys() - found.keys()):
        Alert.objects.filter(pk=known[key].pk).update(ended_at=Now())
        logger.info("alert ended: %s (%s)", known[key].title, known[key].level)


def _wait_for_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('alerts'))")


@transaction.atomic
def _email() -> None:
    """One digest a WINDOW to each address, of what is open and was in none yet."""
    _wait_for_others()
    digest = EmailMessage.objects.filter(kind="staff_alert", is_test=False)
    if digest.filter(created_at__gt=Now() - WINDOW).exists():
        return
    tasks = list(StaffTask.objects.open().filter(emailed_at=None))
    alerts = list(Alert.objects.filter(ended_at=None, emailed_at=None))
    ours = about_these_emails(tasks)
    news = digests(
        [task for task in tasks if task.pk not in ours],
        [alert for alert in alerts if alert.name not in COVERED_BY_TASKS],
    )
    StaffTask.objects.filter(pk__in=[task.pk for task in tasks]).update(emailed_at=Now())
    Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(emailed_at=Now())
    if news:
        notify("staff_alert", news)


def _post_news() -> None:
    """In order, up to the first that the webhook does not accept; the next run continues there."""
    with free_slot(LOCK_CLASS, of=1) as slot:
        for alert, state in within(islice(_unsent(), 0 if slot is None else AT_ONCE)):
            if not _post(_message(alert, state)):
                return
            Alert.objects.filter(pk=alert.pk).update(**{f"{state}_reported_at": Now()})


def _unsent() -> Iterator[tuple[Alert, str]]:
    for alert in Alert.objects.unsent().order_by("pk"):
        if not alert.began_reported_at:
            yield alert, "began"
        if alert.ended_at:
            yield alert, "ended"


def _message(alert: Alert, state: str) -> dict[str, Any]:
    """`id` is the same on every try, so that receivers can drop duplicates."""
    return {
        "id": f"{settings.INSTANCE_ID}:{alert.pk}:{state}",
        "instance": settings.INSTANCE_ID,
        "site": settings.SITE_URL,
        "alert": alert.name,
        "about": alert.about,
        "level": alert.level,
        "state": state,
        "text": f"{settings.INSTANCE_ID}: {alert.title} {state} ({alert.level}): "
        f"{alert.words if state == 'began' else alert.text}",
        "began_at": alert.began_at.isoformat(),
        "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
    }


def _post(message: dict[str, Any]) -> bool:
    """Whether the webhook accepted it. Its address may be a secret, so it is never logged."""
    try:
        with requests.post(
            settings.ALERT_WEBHOOK_URL,
            json=message,
            timeout=POST_TIMEOUT_S,
            allow_redirects=False,
            stream=True,  # what it says beyond the status is not read
        ) as answer:
            taken = answer.status_code // 100 == 2
            why = f"HTTP {answer.status_code}"
    except requests.RequestException as error:
        taken, why = False, type(error).__name__
    if not taken:
        logger.error("the alert webhook did not take %s: %s", message["id"], why)
    return taken
