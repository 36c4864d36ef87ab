"""Children who were moved to another class."""

from typing import Any

from django.contrib import admin

from billing.models import Transfer
from csf.money import money_text
from csf.staff.columns import link, money
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import moment
from enrollments.models import Enrollment
from orders.models import Order


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "order", "left", "joined", money("difference_cents", "difference"), "by"]
    list_select_related = ["order", "left__child", "left__course", "joined__child", "joined__course", "by"]
    search_fields = ["order__number", "order__household__name", "reason"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = [
        "order",
        ("left", "joined"),
        (money("difference_cents", "difference"), "installment"),
        (money("stopped_cents", "not charged"), money("credit_cents", "credit")),
        ("by", "created_at"),
        "reason",
        "consent",
    ]


def _transfers(rows: Any) -> Panel:
    return Panel(
        "Transfers",
        ["When", "From", "To", "Difference", "Not charged", "Credit", "To pay", "By", "Why"],
        [
            (
                link(row, moment(row.created_at)),
                link(row.left, row.left.course),
                link(row.joined, row.joined.course),
                money_text(row.difference_cents),
                row.stopped_cents and money_text(row.stopped_cents),
                row.credit_cents and money_text(row.credit_cents),
                row.installment and link(row.installment, row.installment.get_status_display()),
                link(row.by),
                row.reason,
            )
            for row in rows.select_related("left__course", "joined__course", "installment", "by")
        ],
    )


@panel(Order, permission="billing.view_transfer")
def order_transfers(order: Order) -> Panel:
    return _transfers(order.transfers.all())


@panel(Enrollment, permission="billing.view_transfer")
def enrollment_transfers(enrollment: Enrollment) -> Panel:
    return _transfers(Transfer.objects.filter(left=enrollment) | Transfer.objects.filter(joined=enrollment))
