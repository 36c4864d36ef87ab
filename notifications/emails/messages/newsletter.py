"""News of the school, to those who asked for it."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from notifications.facts import family_messages
from notifications.spec import Choice, Email, after

EMAIL = Email(
    kind="newsletter",
    title=_("Newsletter"),
    when="staff confirm a newsletter; only to those who asked for news",
    choice=Choice("Newsletter", "New classes and other school news, now and then."),
    group="promotional",
    recipients=family_messages.recipients,
    snapshot=family_messages.snapshot,
    key=family_messages.key,
    accent="blue",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    priority=8,
    samples=family_messages.samples(),
)
