from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from billing import gateway, webhooks  # noqa: F401 - webhooks registers the event receivers

        gateway.limit_djstripe_calls()
