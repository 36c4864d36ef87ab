from billing.admin import (
    books,
    closing,
    installments,
    money,
    orders,
    plans,
    refunds,
    staff_tasks,
    stripe,
    transfers,
)

__all__ = [
    "books",
    "closing",
    "installments",
    "money",
    "orders",
    "plans",
    "refunds",
    "staff_tasks",
    "stripe",
    "transfers",
]
