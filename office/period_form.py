import datetime
from datetime import timedelta
from typing import Any

from django import forms

from csf import clock
from csf.templatetags.csf_format import day

USUAL_DAYS = 30
MOST_DAYS = 366
EARLIEST, LATEST = datetime.date(2000, 1, 1), datetime.date(2199, 12, 31)


def _day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))


class PeriodForm(forms.Form):
    """The first and the last day of a page of figures; the last USUAL_DAYS unless it says otherwise."""

    first = _day("From")
    last = _day("To")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        data["last"] = data["last"] or clock.today()
        data["first"] = data["first"] or data["last"] - timedelta(days=USUAL_DAYS - 1)
        if not 0 <= (data["last"] - data["first"]).days < MOST_DAYS:
            raise forms.ValidationError(f"Choose a first and a last day, at most {MOST_DAYS} days in all.")
        if not EARLIEST <= data["first"] <= data["last"] <= LATEST:
            raise forms.ValidationError(f"Choose days from {day(EARLIEST)} to {day(LATEST)}.")
        return data
