from typing import Any

from django.core.management.base import BaseCommand, CommandError

from csf.encryption import current_key_id, encrypted_fields, rotate
from enrollments.accounts.staff_sign_in import rotate_second_factors


class Command(BaseCommand):
    help = (
        "Re-encrypt every encrypted value with the first key of FIELD_KEYS. Safe to repeat and to stop: "
        "it continues where it stopped. Take an old key out of FIELD_KEYS only after a run without "
        "failures."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        results = {f"{field.model._meta.label}.{field.name}": rotate(field) for field in encrypted_fields()}
        results["second factors"] = rotate_second_factors()
        for name, (done, unreadable) in results.items():
            self.stdout.write(f"{name}: key={current_key_id()} done={done} failed={unreadable}")
        if failed := sum(unreadable for _, unreadable in results.values()):
            raise CommandError(
                f"{failed} values cannot be read with any key of FIELD_KEYS; they were not changed."
            )
