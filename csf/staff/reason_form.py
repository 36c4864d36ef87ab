"""The reason that staff give for what they do."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

REASON_LENGTH = 200  # with what is said before it, it fits a transition's reason
NEEDED = "Give a reason: it stays in the history."


def reason_field(**options: Any) -> forms.CharField:
    """For the other staff, unless its `help_text` says who else reads it."""
    return forms.CharField(
        **{
            "max_length": REASON_LENGTH,
            "widget": UnfoldAdminTextareaWidget({"rows": 2}),
            "help_text": "Stays in the history for other staff.",
            "error_messages": {"required": NEEDED},
        }
        | options
    )


class ReasonForm(forms.Form):
    reason = reason_field()
    field_order: list[str] | None = None

    def arguments(self) -> dict[str, Any]:
        """For the function that does it."""
        return dict(self.cleaned_data)


class FactsForm(ReasonForm):
    """One that depends on what the facts allow."""

    def __init__(self, *args: Any, facts: Any, **options: Any) -> None:
        self.facts = facts
        super().__init__(*args, **options)
