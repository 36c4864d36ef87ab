from billing.admin import books, closing, installments, money, orders, plans, refunds, stripe, transfers

__all__ = [
    "books",
    "closing",
    "installments",
    "money",
    "orders",
    "plans",
    "refunds",
    "stripe",
    "transfers",
]
