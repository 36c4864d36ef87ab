"""Emails about places in classes and on waitlists."""
