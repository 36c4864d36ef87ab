import json
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.safestring import SafeString
from djstripe.models import (
    Account,
    Charge,
    Customer,
    Event,
    PaymentIntent,
    PaymentMethod,
    Session,
    WebhookEndpoint,
)

from billing.models import StripeEvent, StripeEventStatus
from csf.jobs.queue import enqueue
from csf.money import money_text
from csf.staff.columns import pretty, state
from csf.staff.model_admin import ReadOnlyAdmin


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    actions = ["try_again"]
    list_display = ["type", "stripe_id", state(), "tries", "received_at", "finished_at"]
    list_filter = ["status", "received_at", "type"]
    list_defer = ["body"]
    search_fields = ["stripe_id", "type"]
    search_help_text = "Search by Stripe's id or the type."
    date_hierarchy = "received_at"
    fields = [
        "stripe_id",
        "type",
        "livemode",
        state(),
        "tries",
        "next_try_at",
        "note",
        "received_at",
        "finished_at",
        "content",
    ]

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_stripeevent")

    def row_action(self, request: HttpRequest, obj: StripeEvent) -> str | None:
        return "try_again" if obj.status == StripeEventStatus.PARKED else None

    @admin.display(description="body")
    def content(self, event: StripeEvent) -> SafeString | str:
        return pretty(json.loads(event.body)) if event.body else "(purged)"

    @admin.action(description="Try again", permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: Any) -> None:
        unparked = queryset.unpark()
        for stripe_id in unparked:
            enqueue("billing.tasks.process_event", stripe_id)
        messages.success(request, f"Parked events to try again: {len(unparked)}.")


# --- dj-stripe's copies of Stripe's objects -----------------------------------------------------------------


class StripeObjectAdmin(ReadOnlyAdmin):
    list_display = ["id", "created", "livemode"]
    list_filter = ["livemode", "created"]
    search_fields = ["id"]
    search_help_text = "Search by Stripe's id."
    ordering = ["-djstripe_created"]
    fields = ["id", "created", "livemode", "content"]

    @admin.display(description="content")
    def content(self, obj: Any) -> SafeString:
        return pretty(obj.stripe_data)


@admin.register(Account, Customer, Event, PaymentMethod)
class PlainStripeObjectAdmin(StripeObjectAdmin):
    pass


@admin.register(Charge, PaymentIntent, Session)
class MoneyStripeObjectAdmin(StripeObjectAdmin):
    list_display = ["id", "amount_text", "status_text", "created", "livemode"]

    @admin.display(description="amount")
    def amount_text(self, obj: Any) -> str | None:
        cents = obj.stripe_data.get("amount", obj.stripe_data.get("amount_total"))
        return None if cents is None else money_text(cents)

    @admin.display(description="status")
    def status_text(self, obj: Any) -> str | None:
        status: str | None = obj.stripe_data.get("status")
        return status


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(StripeObjectAdmin):
    """Its secret signs events: neither the column nor Stripe's copy of it is shown."""

    list_display = ["id", "url", "status", "api_version", "livemode"]
    fields = ["id", "url", "status", "api_version", "enabled_events", "created", "livemode"]
