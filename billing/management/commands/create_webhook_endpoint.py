import uuid
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.stripe import gateway
from billing.stripe.webhook_endpoint import register_endpoint


class Command(BaseCommand):
    help = (
        "Store the webhook endpoint whose signatures are accepted, from STRIPE_WEBHOOK_UUID and "
        "STRIPE_WEBHOOK_SECRET; with --remote, first create it at Stripe or update the existing one. "
        "Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remote", action="store_true", help="create or update it at Stripe")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            identity = uuid.UUID(settings.STRIPE_WEBHOOK_UUID)
        except ValueError:
            raise CommandError(
                "STRIPE_WEBHOOK_UUID must be a UUID: it is part of the webhook address."
            ) from None
        if not options["remote"] and not settings.STRIPE_WEBHOOK_SECRET:
            raise CommandError("Set STRIPE_WEBHOOK_SECRET (shown by Stripe), or pass --remote.")
        try:
            registered = register_endpoint(identity=identity, remote=options["remote"])
        except gateway.StripeRefused as error:
            raise CommandError(f"Stripe refused: {error}") from error
        except gateway.OutcomeUnknown as error:
            raise CommandError(f"Stripe did not answer: {error}") from error
        endpoint = registered.endpoint
        self.stdout.write(f"endpoint={endpoint.id} url={endpoint.url}\n{registered.done}")
