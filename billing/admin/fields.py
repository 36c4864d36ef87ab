"""What the office types: amounts in the school's currency, days, percentages."""

import datetime
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import INPUT_CLASSES, UnfoldAdminDecimalFieldWidget

from csf.dates import local_date
from csf.templatetags.csf_format import day


class CentsField(forms.DecimalField):
    """Typed as 62.50, given as 6250."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminDecimalFieldWidget({"inputmode": "decimal"})
        super().__init__(min_value=Decimal("0.01"), max_digits=8, decimal_places=2, widget=widget, **options)

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * 100)


class DayField(forms.DateField):
    """A day at most so many days ago and ahead, in the browser's own calendar."""

    def __init__(self, *, past: int, ahead: int, **options: Any) -> None:
        widget = forms.DateInput({"type": "date", "class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%d")
        super().__init__(widget=widget, validators=[_days_around_today(past, ahead)], **options)


def _days_around_today(past: int, ahead: int) -> Callable[[datetime.date], None]:
    def check(value: datetime.date) -> None:
        today = local_date(timezone.now())
        first, last = today - timedelta(days=past), today + timedelta(days=ahead)
        if not first <= value <= last:
            raise forms.ValidationError(f"From {day(first)} to {day(last)}.")

    return check
