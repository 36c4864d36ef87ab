from django.contrib import admin

from billing.models import Payment, StripeCustomer
from csf.money import money_text
from csf.staff.columns import badge, link, money
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import day, moment
from orders.models import Order


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "order", "family", money("amount_cents", "amount"), "how", "is_matched"]
    list_filter = ["received_at", ("installment", admin.EmptyFieldListFilter), "card_brand"]
    list_select_related = ["order__household"]
    search_fields = [
        "order__number",
        "order__household__name",
        "stripe_payment_intent_id",
        "card_last4",
        "check_number",
    ]
    search_help_text = "Search by order, family, Stripe id, check number or the card's last four digits."
    date_hierarchy = "received_at"
    ordering = ["-received_at", "-pk"]
    fields = [
        "order",
        "installment",
        money("amount_cents", "amount"),
        "how",
        "received_at",
        "stripe_payment_intent_id",
        "stripe_charge_id",
        "created_at",
        "public_id",
    ]

    @admin.display(description="family", ordering="order__household__name")
    def family(self, payment: Payment) -> str:
        return payment.order.household.name

    @admin.display(description="paid by")
    def how(self, payment: Payment) -> str:
        return payment.how

    @admin.display(description="for an installment", boolean=True)
    def is_matched(self, payment: Payment) -> bool:
        return payment.installment_id is not None


@admin.register(StripeCustomer)
class StripeCustomerAdmin(ReadOnlyAdmin):
    list_display = ["household", "stripe_id"]
    list_select_related = ["household"]
    search_fields = ["household__name", "stripe_id"]
    fields = ["household", "stripe_id"]


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


@panel(Order, permission="billing.view_payment")
def order_payments(order: Order) -> Panel:
    return Panel(
        "Payments",
        ["Received", "Amount", "Paid by", "Installment"],
        [
            (
                link(row, moment(row.received_at)),
                money_text(row.amount_cents),
                row.how,
                row.installment.number if row.installment else "none",
            )
            for row in order.payments.select_related("installment")
        ],
    )
