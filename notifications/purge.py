"""Data that is deleted once it is no longer useful: contents go, the rows that prove what happened stay."""

import datetime
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Case, Exists, F, JSONField, OuterRef, Q, QuerySet, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import JSONObject
from django.utils import timezone

from billing.events.stripe_copies import copies_older_than, events_finished_before
from billing.models import StripeEvent, StripeEventStatus
from csf.jobs import time_budget
from csf.jobs.declared import daily_job
from csf.jobs.queue import tasks_stopped_before
from csf.jobs.report import Report
from csf.models import FormPress
from notifications.models import FINAL, EmailAttempt, EmailEvent, EmailMessage
from orders.models import Order, OrderItem

CART_DAYS = 30
EVENT_DAYS = 30
TASK_DAYS = 14
EMAIL_DAYS = 90
PART = 1000
# The pages of an order find its emails by this.
KEPT_FACTS = Case(
    When(context__has_key="order_number", then=JSONObject(order_number=KT("context__order_number"))),
    default=Value({}, JSONField()),
    output_field=JSONField(),
)

Step = tuple[QuerySet[Any], Callable[[QuerySet[Any]], int]]


def forget_old_data(*, on: datetime.date, dry_run: bool = False) -> dict[str, int]:
    """Delete or blank what is too old at the beginning of that local date; return how many rows of each.

    A part at a time, each of which commits by itself, so that an interrupted night is not lost. A task ends
    when its time is up. Safe to repeat.
    """
    midnight = timezone.make_aware(datetime.datetime.combine(on, datetime.time.min))
    steps = steps_until(midnight)
    found = {
        name: rows.count() if dry_run else _in_parts(rows, forget) for name, (rows, forget) in steps.items()
    }
    copies = copies_older_than(midnight - timedelta(days=EVENT_DAYS))
    found["stripe_copies"] = sum(rows.count() if dry_run else _in_parts(rows, _delete) for rows in copies)
    return found


@daily_job(at="04:30")
def purge(*, on: datetime.date) -> Report:
    """Delete or clear data that is no longer needed."""
    return Report(done=sum(forget_old_data(on=on).values()), is_cut=time_budget.is_over())


def _in_parts(rows: QuerySet[Any], forget: Callable[[QuerySet[Any]], int]) -> int:
    count, rest = 0, rows.order_by("pk")
    while not time_budget.is_over() and (ids := list(rest.values_list("pk", flat=True)[:PART])):
        count += forget(rows.filter(pk__in=ids))
        rest = rows.filter(pk__gt=ids[-1]).order_by("pk")  # some may be locked, and left
    return count


def steps_until(midnight: datetime.datetime) -> dict[str, Step]:
    """The rows that are too old by then, and what happens to them."""

    def days_ago(days: int) -> datetime.datetime:
        return midnight - timedelta(days=days)

    folded = EmailEvent.objects.filter(folded_at__isnull=False, received_at__lt=days_ago(EVENT_DAYS))
    return {
        "carts": (_idle_carts(midnight, days_ago(CART_DAYS)), _delete_carts),
        # Before the inbox's own rows: these say which events are finished.
        "stripe_payloads": (events_finished_before(days_ago(EVENT_DAYS)), _delete),
        "stripe_events": (_finished_events(days_ago(EVENT_DAYS)), lambda rows: rows.update(body="")),
        "email_events": (folded, _delete),
        "tasks": (tasks_stopped_before(days_ago(TASK_DAYS)), _delete),
        "emails": (_told_emails(days_ago(EMAIL_DAYS)), _blank),
        "email_errors": (_old_errors(days_ago(EMAIL_DAYS)), lambda rows: rows.update(error="")),
        "form_presses": (FormPress.objects.filter(pressed_at__lt=days_ago(1)), _delete),
        "sessions": (Session.objects.filter(expire_date__lt=midnight), _delete),
    }


def _idle_carts(midnight: datetime.datetime, idle_since: datetime.datetime) -> QuerySet[Order]:
    """Empty ones, and those into which nothing was put since then."""
    lines = OrderItem.objects.filter(order=OuterRef("pk"))
    touched = Exists(lines.filter(created_at__gte=idle_since))
    idle = Q(~touched, created_at__lt=idle_since)
    return Order.objects.carts().filter(~Exists(lines) | idle, created_at__lt=midnight)


def _finished_events(until: datetime.datetime) -> QuerySet[StripeEvent]:
    """Not the parked ones: staff may return these to the inbox."""
    done = [StripeEventStatus.PROCESSED, StripeEventStatus.IGNORED]
    return StripeEvent.objects.filter(status__in=done, finished_at__lt=until).exclude(body="")


def _told_emails(until: datetime.datetime) -> QuerySet[EmailMessage]:
    old = EmailMessage.objects.filter(status__in=FINAL, created_at__lt=until)
    return old.alias(kept=KEPT_FACTS).exclude(subject="", html="", text="", context=F("kept"))


def _old_errors(until: datetime.datetime) -> QuerySet[EmailAttempt]:
    """The provider's own words, which may quote addresses; why an email was not sent stays with it."""
    return EmailAttempt.objects.filter(posted_at__lt=until).exclude(error="")


def _delete(rows: QuerySet[Any]) -> int:
    return rows.delete()[0]


@transaction.atomic
def _delete_carts(carts: QuerySet[Order]) -> int:
    ids = list(carts.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
    OrderItem.objects.filter(order__in=ids).delete()
    Order.objects.filter(pk__in=ids).delete()
    return len(ids)


def _blank(emails: QuerySet[EmailMessage]) -> int:
    return emails.update(subject="", html="", text="", context=KEPT_FACTS)
