from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString

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
    state,
)
from csf.money import money_text, percent_text
from csf.templatetags.csf_format import moment
from enrollments.models import Household
from orders.models import Order, OrderItem, OrderTransition, PromoCode, PromoRedemption, PromoUse

PANEL_ROWS = 50
GONE = {"status__in": ["succeeded", "external"]}  # refunds whose money has left
TOTAL, PAID = money("total_cents", "total"), money("paid_cents", "paid")


def with_paid(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Adds what came in (money and credit), what went back, what is still open, and what fits nothing."""
    loose = _cents("payments", installment=None) - _cents("refunds", payment__installment=None, **GONE)
    return orders.annotate(
        paid_cents=_cents("payments") - _cents("credits", cause__in=["spent", "returned"]),
        back_cents=_cents("refunds", **GONE) + _cents("credits", cause__in=["cancellation", "transfer"]),
        open_cents=_cents("installments")
        - _cents("installments", status__in=["paid", "waived", "cancelled"]),
        loose_cents=loose,
    )


def _cents(rows: str, **wanted: Any) -> Coalesce:
    """The sum of an order's rows by a subquery of its own: joins would multiply each other."""
    model: Any = Order._meta.get_field(rows).related_model
    found = model.objects.filter(order=OuterRef("pk"), **wanted).order_by().values("order")
    return Coalesce(Subquery(found.annotate(sum=Sum("amount_cents")).values("sum")), 0)


def paid_state(order: Any) -> SafeString:
    """Derived from the money, never stored. `order` comes from `with_paid`."""
    if order.loose_cents > 0:
        return badge("unknown", "overpaid")
    if order.back_cents and order.back_cents >= order.paid_cents:
        return badge("refunded", "refunded")
    if not order.paid_cents:
        return badge("paid", "free") if not order.total_cents else badge("unpaid", "unpaid")
    return badge("partly_paid", "partly paid") if order.open_cents else badge("paid", "paid")


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = [
        "number",
        "household",
        state(),
        TOTAL,
        PAID,
        "paid_state",
        "placed_at",
    ]
    list_filter = ["status", "placed_at"]
    list_select_related = ["household"]
    search_fields = ["number", "household__name", "household__guardians__email"]
    search_help_text = "Search by number, family or email."
    date_hierarchy = "placed_at"
    ordering = ["-pk"]
    view_on_site = False  # that page is the family's own
    fieldsets = [
        (None, {"fields": ["number", "household", state(), "paid_state"]}),
        ("Money", {"fields": [(TOTAL, PAID), ("currency", "promo_code")]}),
        ("Dates", {"fields": [("placed_at", "placed_by"), ("held_until", "created_at"), "public_id"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return with_paid(super().get_queryset(request))

    def search_note(self, obj: Order) -> str:
        return f"of the {obj.household}"

    @admin.display(description="money")
    def paid_state(self, order: Order) -> SafeString:
        return paid_state(order)


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
    """Says by the field, in words, what the database's constraints would refuse."""

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
class PromoCodeAdmin(ModelAdmin):
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
        ["Child", "Class", "List price", "Price", "Seat"],
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


@panel(Household, permission="orders.view_order")
def family_orders(family: Household) -> Panel:
    rows = with_paid(family.orders.placed())
    return Panel(
        "Orders",
        ["Number", "Placed", "Status", "Total", "Money"],
        [
            (
                link(row, row.number),
                row.placed_at and moment(row.placed_at),
                badge(row.status, row.get_status_display()),
                money_text(row.total_cents),
                paid_state(row),
            )
            for row in rows[:PANEL_ROWS]
        ],
    )
