"""Emails that the office writes, and what is new for staff."""
