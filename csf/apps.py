from django.apps import AppConfig


class CsfConfig(AppConfig):
    name = "csf"
    verbose_name = "Operations"

    def ready(self) -> None:
        from csf import checks  # noqa: F401 - registers the system checks
