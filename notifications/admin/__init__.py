from notifications.admin import (
    email_actions,
    emails,
    messages,
    panels,
    preferences,
    previews,
    sender,
    suppressions,
)

__all__ = [
    "email_actions",
    "emails",
    "messages",
    "panels",
    "preferences",
    "previews",
    "sender",
    "suppressions",
]
