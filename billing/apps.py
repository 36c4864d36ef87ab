from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Orders and money"

    def ready(self) -> None:
        import billing.roles  # noqa: F401 - says what each role may do
        from billing.changes import receivers  # noqa: F401 - the last two register receivers
        from billing.events import webhooks  # noqa: F401 - the last two register receivers
        from billing.stripe import checks, gateway  # noqa: F401 - the first registers its checks
        from billing.stripe.account_secrets import protect_secrets
        from csf.templatetags.slots import fill

        fill("held", "billing/_held_stripe.html")
        fill("held_order", "billing/_held.html")
        fill("waiting_place", "billing/_waiting.html")
        fill("plan_offers", "billing/_plan_offers.html")
        protect_secrets()
        gateway.limit_djstripe_calls()
