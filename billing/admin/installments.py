from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing.installments.next_step import waits_for_staff
from billing.models import (
    ChargeAttempt,
    ChargeAttemptTransition,
    ChargeStatus,
    Installment,
    InstallmentNote,
    InstallmentTransition,
)
from csf import clock
from csf.money import money_text
from csf.staff.columns import badge, link, money, state
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Panel, history, panel
from csf.templatetags.csf_format import moment
from orders.models import Order


class Concern(admin.SimpleListFilter):
    title = "concern"
    parameter_name = "concern"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("overdue", "overdue"), ("held", "held"), ("staff", "needs staff")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        today = clock.today()
        match self.value():
            case "overdue":
                return queryset.overdue(today)
            case "held":
                return queryset.open().filter(held_at__isnull=False)
            case "staff":
                return queryset.filter(waits_for_staff(today))
        return queryset


@admin.register(Installment)
class InstallmentAdmin(ReadOnlyAdmin):
    list_display = ["order", "family", "number", "due_on", money("amount_cents", "amount"), state()]
    list_filter = [Concern, "status", "due_on"]
    list_select_related = ["order__household"]
    search_fields = ["order__number", "order__household__name"]
    search_help_text = "Search by order or family."
    date_hierarchy = "due_on"
    ordering = ["-due_on", "-pk"]
    fields = [
        ("order", "family"),
        ("number", money("amount_cents", "amount")),
        ("due_on", state()),
        ("next_try_on", "held"),
        ("stripe_invoice_id", "created_at"),
        "public_id",
    ]

    @admin.display(description="family", ordering="order__household__name")
    def family(self, part: Installment) -> SafeString:
        return link(part.order.household)

    @admin.display(description="held since")
    def held(self, part: Installment) -> str | None:
        return moment(part.held_at) if part.held_at else None


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
        "why_declined",
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

    @admin.display(description="why declined", ordering="decline_code")
    def why_declined(self, attempt: ChargeAttempt) -> str:
        return in_words(attempt.decline_code)

    @admin.display(description="part", ordering="installment__number")
    def part(self, attempt: ChargeAttempt) -> int:
        return attempt.installment.number


@admin.register(ChargeAttemptTransition)
class ChargeAttemptTransitionAdmin(TransitionAdmin):
    parent = "chargeattempt"
    list_select_related = ["chargeattempt__installment__order", "by"]
    search_fields = ["chargeattempt__installment__order__number", "reason"]


# --- Panels -------------------------------------------------------------------------------------------------


ATTEMPT_HEADERS = ["Installment", "Try", "When", "Amount", "Status", "Why declined"]


def in_words(decline_code: str) -> str:
    """Stripe's codes are words: `insufficient_funds`."""
    return decline_code.replace("_", " ")


def _attempt_row(row: ChargeAttempt) -> tuple[object, ...]:
    why = in_words(row.decline_code)
    has_paid = row.status == ChargeStatus.SUCCEEDED  # with another card, on the same page of Stripe
    return (
        row.installment.number,
        link(row, row.number),
        moment(row.created_at),
        money_text(row.amount_cents),
        badge(row.status, row.get_status_display()),
        f"before: {why}" if has_paid and why else why,
    )


@panel(Order, permission="billing.view_chargeattempt")
def order_attempts(order: Order) -> Panel:
    rows = ChargeAttempt.objects.filter(installment__order=order).select_related("installment")
    return Panel("Charge attempts", ATTEMPT_HEADERS, [_attempt_row(row) for row in rows])


@panel(Installment, permission="billing.view_chargeattempt")
def installment_attempts(part: Installment) -> Panel:
    rows = part.attempts.select_related("installment")
    return Panel("Charge attempts", ATTEMPT_HEADERS, [_attempt_row(row) for row in rows])


@panel(Installment, permission="billing.view_installmentnote")
def installment_notes(part: Installment) -> Panel:
    rows = part.notes.select_related("by")
    return Panel(
        "What staff did",
        ["When", "Who", "What"],
        [(moment(row.created_at), link(row.by), row.text) for row in rows],
    )


@panel(Installment, permission="billing.view_installmenttransition")
def installment_history(part: Installment) -> Panel:
    return history(part)


@panel(ChargeAttempt, permission="billing.view_chargeattempttransition")
def attempt_history(attempt: ChargeAttempt) -> Panel:
    return history(attempt)
