"""The demo's payment plan, on top of its classes, families and promo codes."""

import datetime

from billing.models import PaymentPlan
from orders.demo_data import load_demo_data as load_classes_families_and_codes


def load_demo_data(*, on: datetime.date, families: int, seed: int) -> None:
    """Everything the demo needs. A repeat adds nothing."""
    load_classes_families_and_codes(on=on, families=families, seed=seed)
    PaymentPlan.objects.get_or_create(name="In 2 monthly payments", defaults={"parts": 2})
