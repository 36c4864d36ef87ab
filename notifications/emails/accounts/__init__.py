"""Emails about accounts and who belongs to a family or to the staff."""
