from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Email"

    def ready(self) -> None:
        from notifications import checks, receivers  # noqa: F401 - system checks and signals
        from notifications.office import figures_page, tomorrow  # noqa: F401 - staff pages
