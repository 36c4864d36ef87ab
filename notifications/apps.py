from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Email"

    def ready(self) -> None:
        from csf.templatetags.slots import fill

        fill("mail_stop", "notifications/_mail_stop.html")
        import notifications.roles
        import notifications.staff_tasks  # noqa: F401 - says when its tasks are over
        from notifications import checks, receivers  # noqa: F401 - system checks and signals
        from notifications.preferences import reach  # noqa: F401 - says whom no email reaches
