from typing import Any

from django import forms

from enrollments.models import Course, WaitlistTier
from orders.forms import LineForm


class CancelForm(forms.Form):
    """The page shows the figures in `fingerprint`, so that nobody confirms others than they saw."""

    reason = forms.CharField(
        label="Why? (optional)",
        required=False,
        max_length=300,
        widget=forms.Textarea({"rows": 3}),
    )


class CardUpdateForm(forms.Form):
    charge_now = forms.BooleanField(required=False)
    fingerprint = forms.CharField(required=False)


class WaitlistForm(LineForm):
    """The child that waits, and how; `at_most` comes from the page that says what the priority tier may
    charge."""

    tier = forms.ChoiceField(
        choices=[(WaitlistTier.REGULAR, "regular"), (WaitlistTier.PRIORITY, "priority")],
        error_messages={
            "required": "Choose how we should offer you a place.",
            "invalid_choice": "Choose how we should offer you a place.",
        },
    )
    at_most = forms.IntegerField(required=False, min_value=0, max_value=100_000_000)
    card = forms.CharField(required=False, max_length=40)

    def __init__(self, *args: Any, course: Course, **kwargs: Any) -> None:
        super().__init__(*args, course=course, **kwargs)
        if not course.price_cents:  # nothing to charge
            self.fields["tier"].choices = [(WaitlistTier.REGULAR, "regular")]  # type: ignore[attr-defined]
