from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from csf.money import money_text, percent_text
from csf.staff.archive import ArchiveAdmin
from csf.staff.columns import badge, link, money
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Panel, history, panel
from orders.models import Order, OrderItem, OrderTransition, PromoCode, PromoRedemption, PromoUse

PANEL_ROWS = 50


@admin.register(OrderItem)
class OrderItemAdmin(ReadOnlyAdmin):
    list_display = [
        "order",
        "child",
        "course",
        money("list_cents", "list price"),
        money("net_cents", "price"),
    ]
    list_select_related = ["order", "child", "course"]
    search_fields = ["order__number", "child__first_name", "child__last_name", "course__title"]
    ordering = ["-pk"]
    fields = [
        "order",
        "child",
        "course",
        "enrollment",
        money("list_cents", "list price"),
        money("sibling_cents", "sibling discount"),
        money("promo_cents", "promo code"),
        money("net_cents", "price"),
    ]


@admin.register(OrderTransition)
class OrderTransitionAdmin(TransitionAdmin):
    parent = "order"
    list_select_related = ["order", "by"]
    search_fields = ["order__number", "reason"]


class PromoCodeForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Says beside the field, in words, what the database's constraints would refuse."""

    def clean_code(self) -> str:
        return str(self.cleaned_data["code"]).strip().upper()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        percent, amount = data.get("percent_bps"), data.get("amount_cents")
        if percent is not None and amount is not None and bool(percent) == bool(amount):
            self.add_error("percent_bps", "Give either a percentage or an amount.")
        starts, ends = data.get("starts_on"), data.get("ends_on")
        if starts and ends and ends < starts:
            self.add_error("ends_on", "Must not be before the first day.")
        return data


@admin.register(PromoCode)
class PromoCodeAdmin(ArchiveAdmin):
    form = PromoCodeForm
    list_display = ["code", "reduction", "program", "starts_on", "ends_on", "max_orders", "is_active"]
    list_filter = ["is_active"]
    list_select_related = ["program"]
    search_fields = ["code"]
    autocomplete_fields = ["program"]
    fields = [
        "code",
        ("percent_bps", "amount_cents"),
        "program",
        ("starts_on", "ends_on"),
        "max_orders",
        "is_active",
    ]

    def archive(self, request: HttpRequest, row: PromoCode) -> None:
        """It can no longer be used; families that used it keep the discount."""
        PromoCode.objects.filter(pk=row.pk).update(is_active=False)
        super().archive(request, row)

    @admin.display(description="takes off")
    def reduction(self, code: PromoCode) -> str:
        return money_text(code.amount_cents) if code.amount_cents else percent_text(code.percent_bps)


@admin.register(PromoRedemption)
class PromoRedemptionAdmin(ReadOnlyAdmin):
    list_display = ["promo_code", "number", "order"]
    list_select_related = ["promo_code", "order"]
    search_fields = ["promo_code__code", "order__number"]
    ordering = ["-pk"]
    fields = ["promo_code", "number", "order"]


@admin.register(PromoUse)
class PromoUseAdmin(ReadOnlyAdmin):
    list_display = ["promo_code", "household", "course"]
    list_select_related = ["promo_code", "household", "course"]
    search_fields = ["promo_code__code", "household__name", "course__title"]
    ordering = ["-pk"]
    fields = ["promo_code", "household", "course", "item"]


@panel(Order, permission="orders.view_orderitem")
def order_lines(order: Order) -> Panel:
    rows = order.items.select_related("child", "course", "enrollment")
    return Panel(
        "Lines",
        ["Child", "Class", "List price", "Price", "Place"],
        [
            (
                link(row.child),
                link(row.course),
                row.list_cents is not None and money_text(row.list_cents),
                row.net_cents is not None and money_text(row.net_cents),
                row.enrollment
                and link(row.enrollment, badge(row.enrollment.status, row.enrollment.get_status_display())),
            )
            for row in rows
        ],
    )


@panel(Order, permission="orders.view_ordertransition")
def order_history(order: Order) -> Panel:
    return history(order)
