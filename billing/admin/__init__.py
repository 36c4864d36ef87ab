from billing.admin import closing, installments, money, plans, refunds, stripe, transfers

__all__ = ["closing", "installments", "money", "plans", "refunds", "stripe", "transfers"]
