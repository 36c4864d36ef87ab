"""What the provider reported, and how the sender as a whole is doing."""

from django.contrib import admin

from csf.staff.model_admin import ReadOnlyAdmin
from notifications.models import Alert, DrainSignal, EmailEvent


@admin.register(EmailEvent)
class EmailEventAdmin(ReadOnlyAdmin):
    list_display = ["happened_at", "name", "bounce_type", "outbox_id", "received_at", "folded_at"]
    list_filter = ["name", "happened_at"]
    search_fields = ["=outbox_id", "provider_event_id", "detail"]
    search_help_text = "Search by the email's public id, the provider's event id or the detail."
    date_hierarchy = "happened_at"
    fields = [
        "name",
        ("bounce_type", "bounce_class"),
        "detail",
        ("happened_at", "received_at", "folded_at"),
        ("outbox_id", "provider_event_id"),
    ]


@admin.register(DrainSignal)
class DrainSignalAdmin(ReadOnlyAdmin):
    list_display = fields = ["is_pending", "closed_until", "down_since", "unanswered"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["began_at", "name", "level", "text", "ended_at"]
    list_filter = ["name", "level"]
    date_hierarchy = "began_at"
    fields = ["name", "level", "text", ("began_at", "ended_at"), ("began_reported_at", "ended_reported_at")]
