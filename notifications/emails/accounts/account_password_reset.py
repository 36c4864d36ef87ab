"""The link to choose a new password."""

from django.utils.translation import gettext_lazy as _

from notifications.facts import account_events
from notifications.facts.recipients import its_recipients
from notifications.spec import AWAITED, Email

EMAIL = Email(
    kind="account_password_reset",
    title=_("Password reset"),
    when="someone asks for a new password",
    topic="account",
    recipients=its_recipients,
    snapshot=account_events.snapshot,
    key=lambda event: event.key,
    accent="grey",
    is_copy_harmless=False,
    expires=account_events.with_its_link,
    priority=AWAITED,
    is_sensitive=True,
    samples=account_events.samples(
        reset_path="/account/password/reset/key/4f-cyq8l1-0b2d7c6f3a/", minutes=60
    ),
)
