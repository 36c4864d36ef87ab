from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EnrollmentsConfig(AppConfig):
    name = "enrollments"
    verbose_name = "Families and classes"

    def ready(self) -> None:
        from enrollments.seat_guard import install_seat_guard

        post_migrate.connect(install_seat_guard, sender=self, dispatch_uid="enrollments.seat_guard")
