"""Orders as staff see them: the lines of `orders`, and what `billing` knows of their money."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing.ledger.order_figures import COLUMNS, NAMES, with_figures
from csf.money import money_text
from csf.staff.columns import badge, label, link, money, state
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import moment
from enrollments.models import Household
from orders.models import Order

PANEL_ROWS = 50
FIGURES = [money(name, title.lower()) for name, title in COLUMNS.items()]
PRICE, PAID, BACK, ASKED, RETURNING, LOST, OPEN, _ = [
    money(name, title.lower()) for name, title in NAMES.items()
]
# More in a row do not fit.
IN_PAIRS = [(PRICE, "at_placing"), (PAID, OPEN), (BACK, LOST), (ASKED, RETURNING)]


def paid_state(order: Any) -> SafeString:
    """Derived from the money, never stored. `order` comes from `with_figures`."""
    if order.loose_cents > 0:
        return label("warning", "overpaid")
    if order.pending_cents:
        return label("warning", "refund waiting")
    if order.lost_cents:
        return label("danger", "dispute lost")
    if order.back_cents and order.back_cents >= order.paid_cents:
        return label("", "refunded")
    if not order.paid_cents:
        return label("danger", "unpaid") if order.open_cents else label("success", "nothing to pay")
    return label("warning", "partly paid") if order.open_cents else label("success", "paid")


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ["number", "household", state(), *FIGURES, "paid_state", "placed_at"]
    list_filter = ["status", "placed_at"]
    list_select_related = ["household"]
    search_fields = ["number", "household__name", "household__guardians__email"]
    search_help_text = "Search by number, family or email."
    date_hierarchy = "placed_at"
    ordering = ["-pk"]
    view_on_site = False  # that page is the family's own
    fieldsets = [
        (None, {"fields": ["number", "household", state(), "paid_state"]}),
        ("Money", {"fields": [*IN_PAIRS, "promo_code"]}),
        ("Dates", {"fields": [("placed_at", "placed_by"), ("held_until", "created_at"), "public_id"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return with_figures(super().get_queryset(request))

    def search_note(self, obj: Order) -> str:
        return f"of the {obj.household}"

    @admin.display(description="payment")
    def paid_state(self, order: Order) -> SafeString:
        return paid_state(order)

    @admin.display(description="price when placed")
    def at_placing(self, order: Order) -> str:
        return money_text(order.total_cents)


@panel(Household, permission="orders.view_order")
def family_orders(family: Household) -> Panel:
    rows: Any = with_figures(family.orders.placed())
    return Panel(
        "Orders",
        ["Number", "Placed", "Status", *COLUMNS.values(), "Payment"],
        [
            (
                link(row, row.number),
                row.placed_at and moment(row.placed_at),
                badge(row.status, row.get_status_display()),
                *(money_text(getattr(row, name)) for name in COLUMNS),
                paid_state(row),
            )
            for row in [*rows[:PANEL_ROWS]]
        ],
    )
