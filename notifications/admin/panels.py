"""What happened to emails: the history of one, and the lists on the pages of orders and families."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from billing.models import Dispute
from csf.staff.columns import badge, link
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import moment
from enrollments.models import Household
from notifications.by_staff.why_not import Gate, in_short, why_not
from notifications.models import EmailAct, EmailEvent, EmailMessage
from orders.models import Order

PANEL_ROWS = 50
Step = tuple[datetime, object, object, object, object]


# --- One email ----------------------------------------------------------------------------------------------


@panel(EmailMessage, permission="notifications.view_emailmessage")
def email_story(email: EmailMessage) -> Panel:
    """Everything that happened to it, in order."""
    steps = [*_written(email), *_posts(email), *_reported(email), *_acts(email)]
    steps.sort(key=lambda step: step[0])
    return Panel(
        "What happened to it",
        ["When", "What", "By", "Outcome", "Detail"],
        [(moment(at), *rest) for at, *rest in steps],
    )


def _written(email: EmailMessage) -> Iterator[Step]:
    if email.resend_of:
        yield email.created_at, "written", "staff", "", link(email.resend_of, "a copy of this one")
    elif email.is_test:
        yield email.created_at, "written", "staff", "", "a test"
    else:
        yield email.created_at, "written", "system", "", ""


def _posts(email: EmailMessage) -> Iterator[Step]:
    for number, row in enumerate(email.attempts.all(), start=1):
        answer = f"HTTP {row.http_status}" if row.http_status else ""
        took = "" if row.duration_ms is None else f"{row.duration_ms} ms"
        detail = ", ".join(filter(None, [answer, took, row.provider_message_id, row.error]))
        outcome = badge(row.outcome, row.get_outcome_display())
        yield row.posted_at, f"post {number}", row.get_route_display(), outcome, detail


def _reported(email: EmailMessage) -> Iterator[Step]:
    for row in EmailEvent.objects.filter(outbox_id=email.public_id).order_by("pk"):
        detail = ": ".join(filter(None, [row.bounce_type, row.detail]))
        yield row.happened_at, "reported", "provider", link(row, row.name), detail


def _acts(email: EmailMessage) -> Iterator[Step]:
    copies = iter(email.resends.order_by("pk"))
    for act in email.acts.select_related("by"):
        copied = next(copies, None) if act.act == EmailAct.Act.RESENT else None
        outcome = link(copied, "the new email") if copied else ""
        yield act.created_at, act.get_act_display(), link(act.by), outcome, act.reason


# --- Emails of an order, a dispute, a family ----------------------------------------------------------------


@panel(Order, permission="notifications.view_emailmessage")
def order_emails(order: Order) -> Panel:
    of_family = EmailMessage.objects.filter(recipient__household=order.household_id)
    return _emails(of_family.filter(context__order_number=order.number))


@panel(Dispute, permission="notifications.view_emailmessage")
def dispute_emails(dispute: Dispute) -> Panel:
    return order_emails(dispute.payment.order)


@panel(Household, permission="notifications.view_emailmessage")
def family_emails(family: Household) -> Panel:
    return _emails(EmailMessage.objects.filter(recipient__household=family))


def _emails(emails: QuerySet[EmailMessage]) -> Panel:
    """Also those that were not sent, with the reason."""
    rows = emails.defer("html", "text", "context", "secret")[:PANEL_ROWS]
    gate = Gate.now()
    return Panel(
        "Emails",
        ["Email", "To", "Status", "Written", "Sent", "Why not"],
        [_line(row, gate) for row in rows],
    )


def _line(row: EmailMessage, gate: Gate) -> tuple[Any, ...]:
    return (
        link(row, row.get_kind_display()),
        row.to,
        badge(row.status, row.status),
        moment(row.created_at),
        row.sent_at and moment(row.sent_at),
        in_short(why_not(row, gate)),
    )
