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

from billing.models import (
    Card,
    CardUpdate,
    ChargeAttempt,
    ChargeAttemptTransition,
    Consent,
    Installment,
    InstallmentNote,
    InstallmentTransition,
    Payment,
    PaymentPlan,
    StripeCustomer,
    StripeEvent,
    StripeEventStatus,
)
from csf.admin import (
    ModelAdmin,
    Panel,
    ReadOnlyAdmin,
    TransitionAdmin,
    badge,
    history,
    link,
    money,
    panel,
    pretty,
    state,
)
from csf.jobs import enqueue
from csf.money import money_text
from csf.templatetags.csf_format import day, moment
from orders.models import Order


@admin.register(Installment)
class InstallmentAdmin(ReadOnlyAdmin):
    list_display = ["order", "family", "number", "due_on", money("amount_cents", "amount"), state()]
    list_filter = ["status", "due_on"]
    list_select_related = ["order__household"]
    search_fields = ["order__number", "order__household__name"]
    search_help_text = "Search by order or family."
    date_hierarchy = "due_on"
    ordering = ["-due_on", "-pk"]
    fields = [
        "order",
        "number",
        "due_on",
        money("amount_cents", "amount"),
        state(),
        "created_at",
        "public_id",
    ]

    @admin.display(description="family", ordering="order__household__name")
    def family(self, part: Installment) -> str:
        return part.order.household.name


@admin.register(InstallmentTransition)
class InstallmentTransitionAdmin(TransitionAdmin):
    parent = "installment"
    list_select_related = ["installment__order", "by"]
    search_fields = ["installment__order__number", "reason"]


@admin.register(InstallmentNote)
class InstallmentNoteAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "installment", "by", "text"]
    list_select_related = ["installment__order", "by"]
    search_fields = ["installment__order__number", "text"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]


@admin.register(ChargeAttempt)
class ChargeAttemptAdmin(ReadOnlyAdmin):
    list_display = [
        "order",
        "part",
        "number",
        "kind",
        money("amount_cents", "amount"),
        state(),
        "decline_code",
        "created_at",
    ]
    list_filter = ["status", "kind", "created_at"]
    list_select_related = ["installment__order"]
    search_fields = ["installment__order__number", "stripe_session_id", "decline_code"]
    search_help_text = "Search by order, Stripe session or decline code."
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = [
        "installment",
        "number",
        "kind",
        money("amount_cents", "amount"),
        state(),
        "decline_code",
        "error",
        "stripe_session_id",
        "session_expires_at",
        "session_closed_at",
        "created_at",
        "public_id",
    ]

    @admin.display(description="order", ordering="installment__order__number")
    def order(self, attempt: ChargeAttempt) -> str:
        return attempt.installment.order.number

    @admin.display(description="part", ordering="installment__number")
    def part(self, attempt: ChargeAttempt) -> int:
        return attempt.installment.number


@admin.register(ChargeAttemptTransition)
class ChargeAttemptTransitionAdmin(TransitionAdmin):
    parent = "chargeattempt"
    list_select_related = ["chargeattempt__installment__order", "by"]
    search_fields = ["chargeattempt__installment__order__number", "reason"]


@admin.register(PaymentPlan)
class PaymentPlanAdmin(ModelAdmin):
    list_display = ["name", "parts", "interval", "deposit", "is_active"]
    list_filter = ["is_active", "interval"]
    search_fields = ["name"]
    autocomplete_fields = ["courses"]

    @admin.display(description="deposit", ordering="deposit_bps")
    def deposit(self, plan: PaymentPlan) -> str:
        return f"{plan.deposit_bps / 100:g} %" if plan.deposit_bps else "even parts"


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ["order", "plan", "given_by", "given_at", "text_version"]
    list_filter = ["plan", "given_at"]
    list_select_related = ["order", "plan", "given_by"]
    search_fields = ["order__number", "given_by__email"]
    date_hierarchy = "given_at"
    ordering = ["-given_at"]


@admin.register(Card)
class CardAdmin(ReadOnlyAdmin):
    list_display = [
        "household",
        "brand",
        "last4",
        "exp_month",
        "exp_year",
        "saved_at",
        "replaced_at",
        "refused_at",
    ]
    list_filter = ["brand", "saved_at", ("refused_at", admin.EmptyFieldListFilter)]
    list_select_related = ["household"]
    search_fields = ["household__name", "last4"]
    ordering = ["-pk"]


@admin.register(CardUpdate)
class CardUpdateAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "household", "requested_by", "charge_now", "finished_at"]
    list_filter = ["charge_now", ("finished_at", admin.EmptyFieldListFilter)]
    list_select_related = ["household", "requested_by"]
    search_fields = ["household__name", "stripe_session_id"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "order", "family", money("amount_cents", "amount"), "card", "is_matched"]
    list_filter = ["received_at", ("installment", admin.EmptyFieldListFilter), "card_brand"]
    list_select_related = ["order__household"]
    search_fields = ["order__number", "order__household__name", "stripe_payment_intent_id", "card_last4"]
    search_help_text = "Search by order, family, Stripe id or the card's last four digits."
    date_hierarchy = "received_at"
    ordering = ["-received_at", "-pk"]
    fields = [
        "order",
        "installment",
        money("amount_cents", "amount"),
        "currency",
        "card",
        "received_at",
        "stripe_payment_intent_id",
        "stripe_charge_id",
        "created_at",
        "public_id",
    ]

    @admin.display(description="family", ordering="order__household__name")
    def family(self, payment: Payment) -> str:
        return payment.order.household.name

    @admin.display(description="card")
    def card(self, payment: Payment) -> str:
        return f"{payment.card_brand} {payment.card_last4}".strip() or "-"

    @admin.display(description="fits an installment", boolean=True)
    def is_matched(self, payment: Payment) -> bool:
        return payment.installment_id is not None


@admin.register(StripeCustomer)
class StripeCustomerAdmin(ReadOnlyAdmin):
    list_display = ["household", "stripe_id"]
    list_select_related = ["household"]
    search_fields = ["household__name", "stripe_id"]
    fields = ["household", "stripe_id"]


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
        released = queryset.unpark()
        for stripe_id in released:
            enqueue("billing.tasks.process_event", stripe_id)
        messages.success(request, f"Parked events given back to the inbox: {len(released)}.")


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


# --- On the pages of orders ---------------------------------------------------------------------------------


@panel(Order, permission="billing.view_installment")
def order_installments(order: Order) -> Panel:
    return Panel(
        "Installments",
        ["Number", "Due", "Amount", "Status"],
        [
            (
                link(part, part.number),
                day(part.due_on),
                money_text(part.amount_cents),
                badge(part.status, part.get_status_display()),
            )
            for part in order.installments.all()
        ],
    )


@panel(Order, permission="billing.view_chargeattempt")
def order_attempts(order: Order) -> Panel:
    rows = ChargeAttempt.objects.filter(installment__order=order).select_related("installment")
    return Panel("Charge attempts", ATTEMPT_HEADERS, [_attempt_row(row) for row in rows])


@panel(Order, permission="billing.view_payment")
def order_payments(order: Order) -> Panel:
    return Panel(
        "Payments",
        ["Received", "Amount", "Card", "Installment"],
        [
            (
                link(row, moment(row.received_at)),
                money_text(row.amount_cents),
                f"{row.card_brand} {row.card_last4}".strip(),
                row.installment.number if row.installment else "fits none",
            )
            for row in order.payments.select_related("installment")
        ],
    )


ATTEMPT_HEADERS = ["Installment", "Try", "When", "Amount", "Status", "Decline code"]


def _attempt_row(row: ChargeAttempt) -> tuple[object, ...]:
    return (
        row.installment.number,
        link(row, row.number),
        moment(row.created_at),
        money_text(row.amount_cents),
        badge(row.status, row.get_status_display()),
        row.decline_code,
    )


@panel(Installment, permission="billing.view_chargeattempt")
def installment_attempts(part: Installment) -> Panel:
    rows = part.attempts.select_related("installment")
    return Panel("Charge attempts", ATTEMPT_HEADERS, [_attempt_row(row) for row in rows])


@panel(Installment, permission="billing.view_installmenttransition")
def installment_history(part: Installment) -> Panel:
    return history(part)


@panel(ChargeAttempt, permission="billing.view_chargeattempttransition")
def attempt_history(attempt: ChargeAttempt) -> Panel:
    return history(attempt)
