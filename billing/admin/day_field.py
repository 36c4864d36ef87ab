import datetime
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import INPUT_CLASSES

from csf import clock
from csf.templatetags.csf_format import day


class DayField(forms.DateField):
    """A day at most so many days ago and ahead, in the browser's own calendar."""

    def __init__(self, *, past: int, ahead: int, **options: Any) -> None:
        widget = forms.DateInput({"type": "date", "class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%d")
        super().__init__(widget=widget, validators=[_days_around_today(past, ahead)], **options)


def _days_around_today(past: int, ahead: int) -> Callable[[datetime.date], None]:
    def check(value: datetime.date) -> None:
        today = clock.today()
        first, last = today - timedelta(days=past), today + timedelta(days=ahead)
        if not first <= value <= last:
            raise forms.ValidationError(f"From {day(first)} to {day(last)}.")

    return check
