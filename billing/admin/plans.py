from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from billing.admin.plan_forms import PlanForm, Preview
from billing.models import Card, CardAgreement, CardStop, CardUpdate, Consent, PaymentPlan
from csf.money import percent_text
from csf.staff.archive import ArchiveAdmin
from csf.staff.model_admin import ReadOnlyAdmin


@admin.register(PaymentPlan)
class PaymentPlanAdmin(ArchiveAdmin):
    form = PlanForm
    change_form_outer_after_template = "admin/billing/plan_preview.html"
    list_display = ["name", "parts", "interval", "deposit", "is_active"]
    list_filter = ["is_active", "interval"]
    search_fields = ["name"]
    autocomplete_fields = ["courses"]
    fields = ["name", "parts", "interval", "deposit_bps", "courses", "is_active"]

    def archive(self, request: HttpRequest, row: PaymentPlan) -> None:
        """No longer offered; orders that were placed with it keep it."""
        PaymentPlan.objects.filter(pk=row.pk).update(is_active=False)
        super().archive(request, row)

    @admin.display(description="deposit", ordering="deposit_bps")
    def deposit(self, plan: PaymentPlan) -> str:
        return percent_text(plan.deposit_bps) if plan.deposit_bps else "equal installments"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if plan := kwargs.get("obj"):
            context["preview"] = Preview.of(PaymentPlan.objects.get(pk=plan.pk), request)
        return super().render_change_form(request, context, *args, **kwargs)


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
        "gone_at",
    ]
    list_filter = ["brand", "saved_at", ("refused_at", admin.EmptyFieldListFilter)]
    list_select_related = ["household"]
    search_fields = ["household__name", "last4"]
    ordering = ["-pk"]


@admin.register(CardAgreement)
class CardAgreementAdmin(ReadOnlyAdmin):
    list_display = ["card", "order", "waitlist_consent", "agreed_by", "agreed_at", "ended_at"]
    list_filter = ["agreed_at", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["card", "order", "waitlist_consent__enrollment__child", "agreed_by"]
    search_fields = ["order__number", "card__last4", "card__household__name"]
    ordering = ["-pk"]


@admin.register(CardStop)
class CardStopAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "card", "reason", "by"]
    list_filter = ["reason"]
    list_select_related = ["card", "by"]
    search_fields = ["card__household__name", "card__last4"]
    ordering = ["-pk"]
    fields = ["card", "reason", "by", "created_at", "payments"]


@admin.register(CardUpdate)
class CardUpdateAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "household", "requested_by", "charge_now", "finished_at"]
    list_filter = ["charge_now", ("finished_at", admin.EmptyFieldListFilter)]
    list_select_related = ["household", "requested_by"]
    search_fields = ["household__name", "stripe_session_id"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
