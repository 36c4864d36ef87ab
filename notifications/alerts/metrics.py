"""Figures for Prometheus. They are counted from rows on request, so every web process returns the same, and a
restart loses nothing."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Count, F, QuerySet
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from billing.models import ChargeAttempt, Installment, Refund, StripeEvent, StripeEventStatus
from billing.models.charges import OPEN_CHARGE
from billing.models.installments import OPEN_INSTALLMENT
from csf import clock
from csf.clock import Now
from csf.jobs.schedules import overdue
from csf.models import Cluster, StaffTask
from notifications.alerts.health import SCHEDULE_MAX_LATE, why_not_ready
from notifications.alerts.rules import AGES
from notifications.models import Alert, EmailAttempt, EmailMessage, EmailStatus

__all__ = ["CONTENT_TYPE_LATEST", "text"]

LATELY = timedelta(minutes=15)


def text() -> bytes:
    registry = CollectorRegistry()
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        now = clock.now()
        yield _one("csf_ready", "1 if /readyz reports ready", not why_not_ready())
        oldest = ((age.name, age.oldest()) for age in AGES)
        ages = [(name, (now - at).total_seconds() if at else 0) for name, at in oldest]
        yield _by("csf_oldest_seconds", "Age of the oldest one waiting, 0 if none is", ("what",), ages)
        seen = Cluster.objects.expected().values_list("name", Now() - F("canary_at"))
        canaries = [(name, age.total_seconds()) for name, age in seen if age is not None]
        yield _by("csf_canary_seconds", "Seconds since a cluster last reported", ("cluster",), canaries)
        ahead_s = clock.ahead_s()
        yield _one("csf_clock_ahead_seconds", "Of this web host against the database's", ahead_s)
        late = len(overdue(SCHEDULE_MAX_LATE))
        yield _one("csf_schedules_late", "Schedules that should have started", late)
        yield from _counted()


def _counted() -> Iterator[Metric]:
    emails = EmailMessage.objects.filter(
        status__in=[EmailStatus.QUEUED, EmailStatus.SENDING, EmailStatus.UNKNOWN]
    )
    yield _count("csf_emails_open", "Emails that are not sent yet", emails, "status")
    posted = EmailAttempt.objects.filter(posted_at__gte=Now() - LATELY)
    yield _count("csf_email_posts", "Posts of the last 15 minutes", posted, "route", "outcome")
    events = StripeEvent.objects.filter(status__in=[StripeEventStatus.RECEIVED, StripeEventStatus.PARKED])
    yield _count("csf_stripe_events_open", "Stripe events not handled yet", events, "status")
    charges = ChargeAttempt.objects.filter(status__in=OPEN_CHARGE)
    yield _count("csf_charges_open", "Charges without an outcome", charges, "status")
    refunds = Refund.objects.filter(status__in=["requested", "approved", "sending", "unknown"])
    yield _count("csf_refunds_open", "Refunds without an outcome", refunds, "status")
    today = clock.today()
    installments = Installment.objects.filter(status__in=OPEN_INSTALLMENT, due_on__lt=today)
    yield _count("csf_installments_overdue", "Installments open after their due date", installments, "status")
    yield _count("csf_staff_tasks_open", "Staff tasks that are open", StaffTask.objects.open(), "kind")
    alerts = Alert.objects.filter(ended_at=None)
    yield _count("csf_alerts_open", "Alerts that have not ended", alerts, "name", "level")


def _one(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _count(name: str, meaning: str, rows: QuerySet[Any], *labels: str) -> Metric:
    found = rows.order_by().values_list(*labels).annotate(Count("pk"))
    return _by(name, meaning, labels, found)


def _by(name: str, meaning: str, labels: tuple[str, ...], rows: Any) -> Metric:
    metric = GaugeMetricFamily(name, meaning, labels=labels)
    for *values, figure in rows:
        metric.add_metric([str(value) for value in values], figure)
    return metric
