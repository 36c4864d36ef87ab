"""The code to sign in without a password."""

from django.utils.translation import gettext_lazy as _

from notifications.facts import account_events
from notifications.facts.recipients import its_recipients
from notifications.spec import AWAITED, Email

EMAIL = Email(
    kind="account_login_code",
    title=_("Sign-in code"),
    when="someone asks for a sign-in code",
    topic="account",
    recipients=its_recipients,
    snapshot=account_events.snapshot,
    key=lambda event: event.key,
    accent="grey",
    is_copy_harmless=False,
    expires=account_events.with_its_code,
    priority=AWAITED,
    is_sensitive=True,
    samples=account_events.samples(code="730915", minutes=10),
)
