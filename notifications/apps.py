from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Email"

    def ready(self) -> None:
        from notifications import checks, figures_page, receivers, tomorrow  # noqa: F401 - signals and staff pages
