from notifications.admin import emails, messages, panels, preferences, previews, sender, suppressions

__all__ = ["emails", "messages", "panels", "preferences", "previews", "sender", "suppressions"]
