from billing.admin import books, closing, installments, menu, money, orders, plans, refunds, stripe, transfers

__all__ = [
    "books",
    "closing",
    "installments",
    "menu",
    "money",
    "orders",
    "plans",
    "refunds",
    "stripe",
    "transfers",
]
