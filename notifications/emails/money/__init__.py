"""Emails about orders, payments, cards, refunds and credit."""
