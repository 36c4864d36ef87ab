from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        import billing.roles
        import billing.staff_tasks  # noqa: F401 - says when its tasks are over
        from billing.changes import receivers  # noqa: F401 - the last two register receivers
        from billing.events import webhooks  # noqa: F401 - the last two register receivers
        from billing.stripe import gateway
        from billing.stripe.account_secrets import protect_secrets

        protect_secrets()
        gateway.limit_djstripe_calls()
