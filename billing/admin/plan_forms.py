"""The form of a payment plan, and a preview of how it splits a price."""

import datetime
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Self

from django import forms
from django.conf import settings
from django.http import HttpRequest

from billing.admin.day_field import DayField
from billing.models import PaymentPlan
from csf import clock
from csf.forms.fields import CentsField, PercentField
from csf.money import money_text
from csf.staff.panels import Panel
from csf.templatetags.csf_format import day
from enrollments.models import Course

PREFIX = "preview"
FIVE_YEARS = 5 * 366


class PlanForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    deposit_bps = PercentField(
        label="Deposit",
        help_text=(
            "Share of the total paid at checkout; the rest is divided evenly. Leave empty for equal "
            "installments."
        ),
        highest=9_900,
        empty=0,
        required=False,
    )


class PreviewForm(forms.Form):
    price_cents = CentsField(label="Price")
    first_on = DayField(label="Paid for the first time on", past=FIVE_YEARS, ahead=FIVE_YEARS)
    ends_on = DayField(label="The class ends on", past=FIVE_YEARS, ahead=FIVE_YEARS)


@dataclass(frozen=True)
class Preview:
    """How the saved plan splits a price, or why it is not offered for it."""

    form: PreviewForm
    panel: Panel | None = None
    why_not: str = ""

    @classmethod
    def of(cls, plan: PaymentPlan, request: HttpRequest) -> Self:
        is_asked = f"{PREFIX}-price_cents" in request.GET
        form = PreviewForm(request.GET if is_asked else _preset(plan), prefix=PREFIX)
        if not form.is_valid():
            return cls(form)
        total_cents, first_on, ends_on = (form.cleaned_data[name] for name in form.fields)
        if why_not := why_not_offered(plan, total_cents, first_on=first_on, ends_on=ends_on):
            return cls(form, why_not=why_not)
        parts = plan.schedule(total_cents, first_on=first_on, ends_on=ends_on) or []
        rows = [(part.number, day(part.due_on), money_text(part.amount_cents)) for part in parts]
        return cls(form, panel=Panel("", ["Number", "Due", "Amount"], rows))


def why_not_offered(
    plan: PaymentPlan, total_cents: int, *, first_on: datetime.date, ends_on: datetime.date
) -> str:
    parts = plan.schedule(total_cents, first_on=first_on, ends_on=datetime.date.max)
    if parts is None:
        return (
            "Not offered: an installment would be less than "
            f"{money_text(settings.MINIMUM_INSTALLMENT_CENTS)}."
        )
    if parts[-1].due_on >= ends_on:
        return (
            f"Not offered: the last installment would be due on {day(parts[-1].due_on)}, too late for "
            "this class."
        )
    return ""


def _preset(plan: PaymentPlan) -> dict[str, str]:
    """The next class that the plan is meant for, bought today."""
    today = clock.today()
    meant_for = plan.courses.all() if plan.courses.exists() else Course.objects.all()
    course = meant_for.filter(starts_on__gte=today).order_by("starts_on", "pk").first()
    price_cents = course.price_cents if course else 20_000
    ends_on = course.ends_on if course else today + timedelta(weeks=12)
    price = f"{Decimal(price_cents) / 100:.2f}"
    values = {"price_cents": price, "first_on": str(today), "ends_on": str(ends_on)}
    return {f"{PREFIX}-{name}": value for name, value in values.items()}
