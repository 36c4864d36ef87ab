from billing.models import (
    BookDifference,
    Cancellation,
    ChargeAttempt,
    Closure,
    Credit,
    Installment,
    Payment,
    PaymentPlan,
    Refund,
    RefundStatus,
    StripeEvent,
)
from csf.staff.menu import MenuEntry, add_to_menu

add_to_menu("Classes", MenuEntry(Closure, "Cancelled classes", "event_busy"))
add_to_menu(
    "Orders and money",
    MenuEntry(Installment, "Installments", "calendar_month"),
    MenuEntry(Payment, "Payments", "payments"),
    MenuEntry(
        Refund, "Refunds to approve", "currency_exchange", filters=f"status__exact={RefundStatus.REQUESTED}"
    ),
    MenuEntry(Cancellation, "Cancellations", "event_busy"),
    MenuEntry(Credit, "Credit", "account_balance_wallet"),
    MenuEntry(BookDifference, "Differences with Stripe", "balance"),
    MenuEntry(ChargeAttempt, "Charge attempts", "credit_card"),
    MenuEntry(PaymentPlan, "Payment plans", "event_repeat"),
)
add_to_menu("Operations", MenuEntry(StripeEvent, "Stripe events", "webhook"))
