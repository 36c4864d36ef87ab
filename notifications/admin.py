from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.models import Dispute
from csf.admin import Panel, ReadOnlyAdmin, badge, link, panel, preformatted, pretty, state
from csf.templatetags.csf_format import moment
from enrollments.models import Household
from notifications.kinds import EmailKind
from notifications.models import Alert, DrainSignal, EmailAttempt, EmailEvent, EmailMessage
from notifications.registry import EMAILS
from orders.models import Order

PANEL_ROWS = 50
# Stands before all that the email brings, so nothing in it can run, load or be followed from a script.
PREVIEW_HEAD = (
    "<!doctype html><meta http-equiv='Content-Security-Policy' "
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)


@admin.register(EmailMessage)
class EmailMessageAdmin(ReadOnlyAdmin):
    """What was owed, sent and answered. A sensitive email's secret is no field of this page."""

    list_display = ["created_at", "kind", "to", "shown_subject", state(), "tries", "sent_at"]
    list_filter = ["status", "kind", "created_at"]
    list_defer = ["html", "text", "context", "secret"]
    search_fields = ["to", "subject", "=context__order_number"]
    search_help_text = "Search by address, subject or order number."
    date_hierarchy = "created_at"
    fieldsets = [
        (None, {"fields": ["kind", ("to", "recipient"), state(), "shown_subject", "error"]}),
        ("Preview", {"fields": ["preview"]}),
        ("Text as sent", {"fields": ["sent_text"]}),
        ("Facts it tells", {"fields": ["facts_told", ("fact_id", "dedupe_key")]}),
        (
            "Sending",
            {
                "fields": [
                    ("created_at", "sent_at", "expires_at"),
                    ("next_attempt_at", "posting_at", "leased_until"),
                    ("priority", "tries", "claims"),
                    "public_id",
                ]
            },
        ),
    ]

    @admin.display(description="subject", ordering="subject")
    def shown_subject(self, email: EmailMessage) -> str:
        return email.subject or "(not rendered yet)"

    @admin.display(description="HTML as sent")
    def preview(self, email: EmailMessage) -> SafeString | None:
        if not email.html:
            return None
        return format_html(
            '<iframe sandbox title="The email" srcdoc="{}" style="width: 100%; height: 42rem"></iframe>',
            PREVIEW_HEAD + email.html,
        )

    @admin.display(description="text")
    def sent_text(self, email: EmailMessage) -> SafeString | str | None:
        if EMAILS[EmailKind(email.kind)].is_sensitive:
            return "Not kept: what it says opens an account."
        return preformatted(email.text) if email.text else None

    @admin.display(description="context")
    def facts_told(self, email: EmailMessage) -> SafeString:
        return pretty(email.context)


@admin.register(EmailAttempt)
class EmailAttemptAdmin(ReadOnlyAdmin):
    list_display = [
        "posted_at",
        "message",
        state("outcome"),
        "http_status",
        "duration_ms",
        "provider_message_id",
    ]
    list_filter = ["outcome", "posted_at"]
    list_defer = ["message__html", "message__text", "message__context", "message__secret"]
    list_select_related = ["message"]
    search_fields = ["provider_message_id", "message__to"]
    search_help_text = "Search by address or the provider's message id."
    ordering = ["-pk"]
    fields = [
        "message",
        "posted_at",
        state("outcome"),
        "http_status",
        "duration_ms",
        "provider_message_id",
        "error",
    ]


@admin.register(EmailEvent)
class EmailEventAdmin(ReadOnlyAdmin):
    list_display = ["happened_at", "name", "bounce_type", "outbox_id", "received_at", "folded_at"]
    list_filter = ["name", "happened_at"]
    search_fields = ["=outbox_id", "provider_event_id", "detail"]
    search_help_text = "Search by the email's public id, the provider's event id or the detail."
    date_hierarchy = "happened_at"
    fields = [
        "name",
        "bounce_type",
        "detail",
        ("happened_at", "received_at", "folded_at"),
        ("outbox_id", "provider_event_id"),
    ]


@admin.register(DrainSignal)
class DrainSignalAdmin(ReadOnlyAdmin):
    list_display = fields = ["is_pending", "closed_until", "unanswered"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["began_at", "name", "level", "text", "ended_at"]
    list_filter = ["name", "level"]
    date_hierarchy = "began_at"
    fields = ["name", "level", "text", ("began_at", "ended_at"), ("began_told_at", "ended_told_at")]


@panel(EmailMessage, permission="notifications.view_emailattempt")
def email_timeline(email: EmailMessage) -> Panel:
    return Panel(
        "Attempts",
        ["When", "Outcome", "HTTP status", "Took", "Provider's id", "Error"],
        [
            (
                moment(row.posted_at),
                badge(row.outcome, row.get_outcome_display()),
                row.http_status,
                None if row.duration_ms is None else f"{row.duration_ms} ms",
                row.provider_message_id,
                row.error,
            )
            for row in email.attempts.all()
        ],
    )


@panel(EmailMessage, permission="notifications.view_emailevent")
def email_events(email: EmailMessage) -> Panel:
    rows = EmailEvent.objects.filter(outbox_id=email.public_id).order_by("happened_at", "pk")
    return Panel(
        "What the provider told us",
        ["When", "Event", "Kind of bounce", "Detail"],
        [(moment(row.happened_at), link(row, row.name), row.bounce_type, row.detail) for row in rows],
    )


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
    rows = emails.only("kind", "to", "subject", "status", "created_at", "sent_at")[:PANEL_ROWS]
    return Panel(
        "Emails",
        ["Email", "To", "Status", "Written", "Sent"],
        [
            (
                link(row, row.get_kind_display()),
                row.to,
                badge(row.status, row.get_status_display()),
                moment(row.created_at),
                row.sent_at and moment(row.sent_at),
            )
            for row in rows
        ],
    )
