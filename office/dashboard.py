"""The start page for staff: what needs a person, and how the school is doing. It reads every app, so it
belongs to the top one."""

import datetime
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Min, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.timesince import timesince

from billing.models import Payment, Refund, RefundStatus, StripeEvent, StripeEventStatus
from billing.task_kinds import MoneyTask
from csf import clock
from csf.dates import local_date, start_of_day
from csf.models import Cluster, JobRun, StaffTask, kind_title
from csf.money import money_text
from csf.staff.columns import link
from csf.templatetags.csf_format import day
from enrollments.models import Course
from notifications.models import EmailMessage, EmailStatus
from notifications.task_kinds import EmailTask
from office.tomorrow import planned_jobs
from orders.models import Order, OrderStatus

RECENT_DAYS = 7
NEXT_CLASSES = 8
TILES = {
    EmailStatus.FAILED: "that failed",
    EmailStatus.UNKNOWN: "with unknown outcome",
    EmailStatus.QUEUED: "waiting",
}


# Kinds of staff tasks whose rows have a tile of their own, for those who may see them.
COUNTED_BY_ROW = {
    MoneyTask.REFUND_TO_APPROVE: "billing.view_refund",
    MoneyTask.EVENT_PARKED: "billing.view_stripeevent",
    EmailTask.EMAIL_FAILED: "notifications.view_emailmessage",
    EmailTask.EMAIL_UNKNOWN: "notifications.view_emailmessage",
}


@dataclass(frozen=True)
class Tile:
    title: str
    value: str
    note: str
    url: str
    is_alarm: bool = False


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds tiles and tables, each only for those who may see the rows behind it."""
    now = clock.now()
    counted = [kind for kind, permission in COUNTED_BY_ROW.items() if request.user.has_perm(permission)]
    sections: list[tuple[str, Callable[[datetime.datetime], list[Tile]]]] = [
        ("csf.view_stafftask", partial(staff_task_tiles, counted=counted)),
        ("orders.view_order", order_tiles),
        ("billing.view_payment", payment_tiles),
        ("billing.view_refund", refund_tiles),
        ("billing.view_installment", job_tiles),
        ("notifications.view_emailmessage", email_tiles),
        ("billing.view_stripeevent", event_tiles),
        ("csf.view_cluster", cluster_tiles),
    ]
    tiles = [tile for permission, make in sections if request.user.has_perm(permission) for tile in make(now)]
    if request.user.has_perm("enrollments.view_course"):
        courses = upcoming_courses(now)
        tiles.append(seats_tile(courses))
        context["classes"] = class_table(courses[:NEXT_CLASSES])
    return context | {"title": "Today", "tiles": tiles}


def staff_task_tiles(now: datetime.datetime, *, counted: Collection[str] = ()) -> list[Tile]:
    """`counted` are the kinds that another tile counts."""
    counts = dict(StaffTask.objects.open().values_list("kind").annotate(Count("pk")).order_by("kind"))
    tiles = [
        Tile(
            title=kind_title(kind),
            value=str(count),
            note="open",
            url=_list("csf_stafftask", state="open", kind__exact=kind),
            is_alarm=True,
        )
        for kind, count in counts.items()
        if kind not in counted
    ]
    nothing = Tile(
        title="Staff tasks", value="0", note="nothing to do", url=_list("csf_stafftask", state="open")
    )
    return tiles if counts else [nothing]


def order_tiles(now: datetime.datetime) -> list[Tile]:
    waiting = Order.objects.filter(status=OrderStatus.PLACED).aggregate(
        count=Count("pk"), cents=Sum("total_cents")
    )
    return [
        Tile(
            title="Orders waiting for payment",
            value=str(waiting["count"]),
            note=money_text(waiting["cents"] or 0),
            url=_list("orders_order", status__exact=OrderStatus.PLACED.value),
        )
    ]


def payment_tiles(now: datetime.datetime) -> list[Tile]:
    """Net: cards, cash and checks received, less all refunds made in the same time."""
    first_on = local_date(now) - datetime.timedelta(days=RECENT_DAYS - 1)
    since = start_of_day(first_on)
    recent = Payment.objects.filter(received_at__gte=since).aggregate(
        count=Count("pk"), cents=Sum("amount_cents")
    )
    back_cents = Refund.objects.gone_since(since).aggregate(cents=Sum("amount_cents"))["cents"] or 0
    less = f" less {money_text(back_cents)} refunded" if back_cents else ""
    return [
        Tile(
            title=f"Paid in the last {RECENT_DAYS} days",
            value=money_text((recent["cents"] or 0) - back_cents),
            note=f"{recent['count']} payments since {day(first_on)}{less}",
            url=_list("billing_payment", received_at__gte=since.isoformat()),
        )
    ]


def refund_tiles(now: datetime.datetime) -> list[Tile]:
    waiting = Refund.objects.filter(status=RefundStatus.REQUESTED).aggregate(
        count=Count("pk"), cents=Sum("amount_cents"), oldest=Min("created_at")
    )
    since = f", the oldest for {timesince(waiting['oldest'], now)}" if waiting["oldest"] else ""
    return [
        Tile(
            title="Refunds to approve",
            value=str(waiting["count"]),
            note=f"{money_text(waiting['cents'] or 0)}{since}",
            url=_list("billing_refund", status__exact=RefundStatus.REQUESTED.value),
            is_alarm=waiting["count"] > 0,
        )
    ]


def job_tiles(now: datetime.datetime) -> list[Tile]:
    runs = JobRun.objects.filter(job__in=planned_jobs(), on=local_date(now)).values_list("status", flat=True)
    done, failed = (list(runs).count(status) for status in (JobRun.Status.DONE, JobRun.Status.FAILED))
    return [
        Tile(
            title="Today's daily jobs",
            value=f"{done} of {len(planned_jobs())} done",
            note=f"{failed} failed" if failed else "See who will be reminded or charged next",
            url=reverse("admin:tomorrow"),
            is_alarm=failed > 0,
        )
    ]


def email_tiles(now: datetime.datetime) -> list[Tile]:
    found = {
        status: (count, oldest)
        for status, count, oldest in EmailMessage.objects.filter(status__in=TILES)
        .order_by()
        .values_list("status")
        .annotate(Count("pk"), Min("created_at"))
    }
    return [_email_tile(status, *found.get(status, (0, None)), now=now) for status in TILES]


def _email_tile(
    status: EmailStatus, count: int, oldest: datetime.datetime | None, *, now: datetime.datetime
) -> Tile:
    return Tile(
        title=f"Emails {TILES[status]}",
        value=str(count),
        note=f"the oldest for {timesince(oldest, now)}" if oldest else "none",
        url=_list("notifications_emailmessage", status__exact=status.value),
        is_alarm=count > 0 and status != EmailStatus.QUEUED,
    )


def event_tiles(now: datetime.datetime) -> list[Tile]:
    count = StripeEvent.objects.filter(status=StripeEventStatus.PARKED).count()
    return [
        Tile(
            title="Parked Stripe events",
            value=str(count),
            note="could not be handled" if count else "none",
            url=_list("billing_stripeevent", status__exact=StripeEventStatus.PARKED.value),
            is_alarm=count > 0,
        )
    ]


def cluster_tiles(now: datetime.datetime) -> list[Tile]:
    """Whether the background workers run; the alerts say which cluster does not."""
    seen_at = Cluster.objects.for_all_work().well().aggregate(at=Max("seen_at"))["at"]
    return [
        Tile(
            title="Background work",
            value="running" if seen_at else "stopped",
            note=f"last seen {timesince(seen_at, now)} ago" if seen_at else "no worker is running",
            url=reverse("admin:system"),
            is_alarm=not seen_at,
        )
    ]


def upcoming_courses(now: datetime.datetime) -> list[Course]:
    offered = Course.objects.for_catalog().with_days().offered(local_date(now))
    return list(offered.order_by(F("first_on"), "title", "pk"))


def seats_tile(courses: Sequence[Course]) -> Tile:
    taken, seats = sum(course.taken for course in courses), sum(course.capacity for course in courses)
    return Tile(
        title="Places filled",
        value=f"{100 * taken // seats}%" if seats else "-",
        note=f"{taken} of {seats} in {len(courses)} classes that have not ended",
        url=_list("enrollments_course", is_published__exact=1),
    )


def class_table(courses: Sequence[Course]) -> dict[str, object]:
    rows = [
        (
            link(course),
            day(course.first_on),
            course.location.name,
            f"{course.taken} of {course.capacity}",
            f"{course.places_left} left" if course.places_left else "full",
        )
        for course in courses
    ]
    return {"headers": ["Class", "Starts", "Where", "Places", "Free"], "rows": rows}


def _list(name: str, **filters: object) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(filters)}"
