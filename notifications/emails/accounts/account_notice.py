"""Something about an account has changed, or somebody tried to use one."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from notifications.facts import account_events
from notifications.facts.recipients import its_recipients
from notifications.spec import Email


def expires(event: account_events.AccountEvent) -> datetime:
    """24 hours"""
    return event.expires_at


EMAIL = Email(
    kind="account_notice",
    title=_("Account notice"),
    when="password, address or second step changed; an address without an account was tried",
    topic="account",
    recipients=its_recipients,
    snapshot=account_events.snapshot,
    key=lambda event: event.key,
    accent="grey",
    is_copy_harmless=False,
    expires=expires,
    priority=2,
    is_sensitive=False,
    samples=account_events.samples(
        event="password_changed", happened_at="2026-08-29T21:07:41+00:00", new_email="", minutes=1440
    ),
)
