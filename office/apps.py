from django.apps import AppConfig


class OfficeConfig(AppConfig):
    """Where staff work: pages about everything in the apps below. No models and no rules of its own."""

    name = "office"
    verbose_name = "Office"

    def ready(self) -> None:
        from office import email_statistics_page, system, tomorrow  # noqa: F401 - pages of the admin
