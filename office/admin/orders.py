"""Orders: what was bought, and what became of the money."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing.admin.orders import paid_state
from billing.ledger.order_figures import COLUMNS, NAMES, with_figures
from csf.money import money_text
from csf.staff.columns import money, state
from csf.staff.model_admin import ReadOnlyAdmin
from orders.models import Order

FIGURES = [money(name, title.lower()) for name, title in COLUMNS.items()]
PRICE, PAID, BACK, ASKED, RETURNING, LOST, OPEN, _ = [
    money(name, title.lower()) for name, title in NAMES.items()
]
# More in a row do not fit.
IN_PAIRS = [(PRICE, "at_placing"), (PAID, OPEN), (BACK, LOST), (ASKED, RETURNING)]


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
