"""The demo's promo codes, on top of its classes and families."""

import datetime

from enrollments.demo_data import load_demo_data as load_classes_and_families
from orders.models import PromoCode


def load_demo_data(*, on: datetime.date, families: int, seed: int) -> None:
    """A repeat adds nothing."""
    load_classes_and_families(on=on, families=families, seed=seed)
    PromoCode.objects.get_or_create(code="WELCOME10", defaults={"percent_bps": 1000})
    PromoCode.objects.get_or_create(code="TENOFF", defaults={"amount_cents": 1000, "max_orders": 50})
