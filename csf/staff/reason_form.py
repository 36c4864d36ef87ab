"""What staff are asked before something is done: nearly always the reason."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from csf.staff.panels import Panel

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


class ActionForm(forms.Form):
    """`facts` are those that the person decides by, if what is asked depends on them."""

    field_order: list[str] | None = None

    def __init__(self, *args: Any, facts: Any = None, **options: Any) -> None:
        self.facts = facts
        super().__init__(*args, **options)

    def arguments(self) -> dict[str, Any]:
        """For the function that does it."""
        return dict(self.cleaned_data)


class ReasonForm(ActionForm):
    reason = reason_field()


class ChoiceForm(ActionForm):
    """What has to be chosen before there are facts to decide by. `facts` are those of the row."""

    button = "Continue"

    def chosen(self) -> Any:
        """The facts of what was chosen. Raises NotPossible."""
        raise NotImplementedError

    def panel(self) -> Panel | None:
        """To choose from, instead of the fields."""
        return None
