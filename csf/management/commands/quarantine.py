from typing import Any

from django.core.management.base import BaseCommand

from csf.models import Instance


class Command(BaseCommand):
    help = (
        "Stop everything that leaves this installation: no emails, no changes at Stripe, no events "
        "processed. Work waits in the database until `lift_quarantine`. Safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        Instance.quarantine()
        self.stdout.write(f"nothing is sent or charged: {Instance.why_quarantined()}")
