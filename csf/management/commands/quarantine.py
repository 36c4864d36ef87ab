from typing import Any

from django.core.management.base import BaseCommand

from csf.models import Instance


class Command(BaseCommand):
    help = (
        "Let nothing leave this installation: no email, no change at Stripe, no event worked off. Work piles "
        "up in the database until `release_quarantine`. Safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        Instance.quarantine()
        self.stdout.write(f"nothing is sent or charged: {Instance.why_quarantined()}")
