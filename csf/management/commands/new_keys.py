import base64
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from csf.encryption import KEY_BYTES


class Command(BaseCommand):
    help = "Print new secrets as lines for .env. Needs no settings and changes nothing."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        field_key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        fresh = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            # By the time, so that a later one can stand in front of it.
            "FIELD_KEYS": f"k{datetime.now(UTC):%Y%m%d%H%M%S}:{field_key}",
            "STRIPE_WEBHOOK_UUID": uuid.uuid4(),
            "POSTGRES_PASSWORD": secrets.token_hex(24),  # goes into an address as it is
        }
        self.stdout.write("\n".join(f"{name}={value}" for name, value in fresh.items()))
