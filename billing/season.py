"""The demo season's way of paying in parts, on top of its classes, families and promo codes."""

import datetime

from billing.models import PaymentPlan
from orders.season import load_season as load_classes_families_and_codes


def load_season(*, on: datetime.date, families: int, seed: int) -> None:
    """The whole season; a repeat adds nothing."""
    load_classes_families_and_codes(on=on, families=families, seed=seed)
    PaymentPlan.objects.get_or_create(name="In 2 monthly payments", defaults={"parts": 2})
