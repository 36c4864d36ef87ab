from billing.admin import books, closing, installments, money, plans, refunds, stripe, transfers

__all__ = ["books", "closing", "installments", "money", "plans", "refunds", "stripe", "transfers"]
