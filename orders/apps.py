from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = "Orders and money"

    def ready(self) -> None:
        import orders.roles  # noqa: F401 - says what staff may do here
