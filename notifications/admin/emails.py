"""The outbox: what was queued, sent and answered, and what staff may do about it."""

from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.safestring import SafeString

from csf.refusal import NotPossible
from csf.staff.columns import badge, preformatted, pretty, state
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Button, row_buttons
from enrollments.models import User
from notifications.admin.bulk import ask_and_do
from notifications.admin.frames import frame
from notifications.by_staff import staff_acts
from notifications.by_staff.redact_links import redacted, redacted_facts
from notifications.by_staff.why_not import Gate, why_not
from notifications.models import EmailAct, EmailAttempt, EmailMessage
from notifications.registry import SENSITIVE

MAY_READ = "notifications.read_emailmessage"
MAY_DOWNLOAD = "notifications.download_emailmessage"
CONTENTS = [
    ("Preview", {"fields": ["preview"]}),
    ("Text as sent", {"fields": ["sent_text"]}),
    ("Its facts", {"fields": ["facts_sent", "fact_id", "dedupe_key"], "classes": ["collapse"]}),
]


@admin.register(EmailMessage)
class EmailMessageAdmin(ReadOnlyAdmin):
    """The page has no field for a sensitive email's secret; the tokens of links are shown as dots."""

    actions = ["withhold_selected", "requeue_selected"]
    list_display = ["created_at", "kind", "to", "shown_subject", "short_status", "tries", "sent_at"]
    list_filter = ["status", "kind", "is_test", "is_without_files", "created_at"]
    list_defer = ["html", "text", "context", "secret"]
    search_fields = ["to", "subject", "=context__order_number"]
    search_help_text = "Search by address, subject or order number."
    date_hierarchy = "created_at"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        about = ["kind", ("to", "recipient"), state(), "shown_subject", "why"]
        times = ("created_at", "sent_at", "expires_at")
        sending: list[Any] = [
            times,
            ("next_attempt_at", "posting_at", "leased_until"),
            ("priority", "tries", "claims"),
        ]
        sending += [("resend_of", "is_test"), "public_id", "error"]
        contents = CONTENTS if request.user.has_perm(MAY_READ) else []
        return [
            (None, {"fields": about}),
            *contents,
            ("Sending", {"fields": sending, "classes": ["collapse"]}),
        ]

    def get_urls(self) -> list[Any]:
        download = self.admin_site.admin_view(self.download)
        own = path("<int:pk>/eml/", download, name="notifications_emailmessage_eml")
        return [own, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        email: EmailMessage | None = kwargs.get("obj")
        if email and email.kind not in SENSITIVE and request.user.has_perm(MAY_READ):
            assert isinstance(request.user, User)
            staff_acts.log_read(email=email, by=request.user)
        return super().render_change_form(request, context, *args, **kwargs)

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request) or not request.user.has_perm(MAY_DOWNLOAD):
            raise PermissionDenied
        assert isinstance(request.user, User)
        email = get_object_or_404(EmailMessage.objects.select_related("recipient"), pk=pk)
        try:
            content = staff_acts.eml(email=email, by=request.user)
        except NotPossible as refusal:
            return HttpResponse(str(refusal), status=404, content_type="text/plain")
        name = quote(f"{email.kind}-{email.pk}.eml")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse(content, content_type="message/rfc822", headers=headers)

    # --- Columns and fields ---

    @admin.display(description="subject", ordering="subject")
    def shown_subject(self, email: EmailMessage) -> str:
        return email.subject or "(not written yet)"

    @admin.display(description="status", ordering="status")
    def short_status(self, email: EmailMessage) -> SafeString:
        return badge(email.status, email.status)

    @admin.display(description="why not sent")
    def why(self, email: EmailMessage) -> str:
        return why_not(email, Gate.now())

    @admin.display(description="HTML as sent")
    def preview(self, email: EmailMessage) -> SafeString | None:
        return frame(email.html) if email.html else None

    @admin.display(description="text")
    def sent_text(self, email: EmailMessage) -> SafeString | str | None:
        if email.kind in SENSITIVE:
            return "Not kept, because the text gives access to an account."
        return preformatted(redacted(email.text)) if email.text else None

    @admin.display(description="context")
    def facts_sent(self, email: EmailMessage) -> SafeString:
        return pretty(redacted_facts(email.context))

    # --- Many at once ---

    def has_withhold_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.withhold_emailmessage")

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.requeue_emailmessage")

    @admin.action(description="Withhold", permissions=["withhold"])
    def withhold_selected(
        self, request: HttpRequest, queryset: QuerySet[EmailMessage]
    ) -> HttpResponse | None:
        return ask_and_do(request, queryset, "withhold_selected")

    @admin.action(description="Release", permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[EmailMessage]) -> HttpResponse | None:
        return ask_and_do(request, queryset, "requeue_selected")


@row_buttons(EmailMessage)
def download_button(request: HttpRequest, email: EmailMessage) -> list[Button]:
    if not request.user.has_perm(MAY_DOWNLOAD) or not staff_acts.can_be_downloaded(email):
        return []
    return [Button("Download .eml", reverse("admin:notifications_emailmessage_eml", args=[email.pk]))]


@admin.register(EmailAttempt)
class EmailAttemptAdmin(ReadOnlyAdmin):
    list_display = [
        "posted_at",
        "message",
        "route",
        state("outcome"),
        "http_status",
        "duration_ms",
        "provider_message_id",
    ]
    list_filter = ["outcome", "route", "posted_at"]
    list_defer = ["message__html", "message__text", "message__context", "message__secret"]
    list_select_related = ["message"]
    search_fields = ["provider_message_id", "message__to"]
    search_help_text = "Search by address or the provider's message id."
    ordering = ["-pk"]
    fields = [
        "message",
        "posted_at",
        ("route", state("outcome")),
        "http_status",
        "duration_ms",
        "provider_message_id",
        "error",
    ]


@admin.register(EmailAct)
class EmailActAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "act", "message", "by", "reason"]
    list_filter = ["act", "created_at"]
    list_defer = ["message__html", "message__text", "message__context", "message__secret"]
    list_select_related = ["message", "by"]
    search_fields = ["message__to", "by__email", "reason"]
    search_help_text = "Search by address, member of staff or reason."
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = ["created_at", "act", "message", "by", "reason"]
