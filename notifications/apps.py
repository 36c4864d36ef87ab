from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Email"

    def ready(self) -> None:
        from notifications import receivers, tomorrow  # noqa: F401 - connect signals, add a staff page
