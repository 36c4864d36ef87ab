"""What `billing` knows about an order's money, in a word, and a family's orders."""

from typing import Any

from django.utils.safestring import SafeString

from billing.ledger.order_figures import COLUMNS, with_figures
from csf.money import money_text
from csf.staff.columns import badge, label, link
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import moment
from enrollments.models import Household

PANEL_ROWS = 50


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
