"""What staff type for each action on an installment; the cleaned names are its function's arguments."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.day_field import DayField
from billing.models import PaymentMethod
from csf import clock
from csf.dates import local_date, start_of_day
from csf.forms.fields import CentsField
from csf.staff.reason_form import ReasonForm

OFFLINE = [PaymentMethod.CASH, PaymentMethod.CHECK]


class TodayForm(ReasonForm):
    """For functions that need to know today."""

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"on": clock.today()}


class MoveForm(TodayForm):
    to = DayField(label="New due date", past=0, ahead=366)
    field_order = ["to", "reason"]


class SplitForm(ReasonForm):
    first_cents = CentsField(
        label="Amount of the first part",
        help_text="It keeps the due date; the rest becomes the second part.",
    )
    second_on = DayField(label="Second part due on", past=0, ahead=366)
    field_order = ["first_cents", "second_on", "reason"]


class FoundForm(ReasonForm):
    stripe_id = forms.CharField(
        label="Id at Stripe",
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of the invoice (in_...), the payment (pi_...) or the charge (ch_...).",
    )
    field_order = ["stripe_id", "reason"]


class OfflineForm(ReasonForm):
    method = forms.TypedChoiceField(
        label="Paid by",
        choices=[("", "Choose"), *((method.value, method.label) for method in OFFLINE)],
        coerce=PaymentMethod,
        widget=UnfoldAdminSelectWidget,
    )
    cents = CentsField(
        label="Amount",
        required=False,
        help_text=(
            "Leave empty for the whole installment. If the amount is smaller, the rest stays due on the "
            "same day."
        ),
    )
    check_number = forms.CharField(max_length=30, required=False, widget=UnfoldAdminTextInputWidget)
    received_on = DayField(label="Received on", initial=clock.today, past=366, ahead=0)
    field_order = ["cents", "method", "check_number", "received_on", "reason"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("check_number") and data.get("method") == PaymentMethod.CASH:
            self.add_error("check_number", "Cash has no check number.")
        return data

    def arguments(self) -> dict[str, Any]:
        arguments, now = super().arguments(), clock.now()
        received_on = arguments.pop("received_on")
        is_today = received_on == local_date(now)
        return arguments | {"received_at": now if is_today else start_of_day(received_on)}
