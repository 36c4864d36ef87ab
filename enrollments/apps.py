from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EnrollmentsConfig(AppConfig):
    name = "enrollments"
    verbose_name = "Families and classes"

    def ready(self) -> None:
        import enrollments.roles  # noqa: F401 - says what staff may do here
        from enrollments.accounts import addresses  # noqa: F401 - registers receivers of allauth's signals
        from enrollments.accounts.address_guard import install_address_guard
        from enrollments.classes.seat_guard import install_seat_guard

        post_migrate.connect(install_seat_guard, sender=self, dispatch_uid="enrollments.classes.seat_guard")
        post_migrate.connect(install_address_guard, dispatch_uid="enrollments.accounts.address_guard")
