from notifications.admin import emails, menu, messages, panels, preferences, previews, sender, suppressions

__all__ = ["emails", "menu", "messages", "panels", "preferences", "previews", "sender", "suppressions"]
