from typing import Any

from django import forms

from enrollments.models import Child, Household


class PromoForm(forms.Form):
    code = forms.CharField(
        label="Promo code", max_length=30, error_messages={"required": "Type the code first."}
    )


class LineForm(forms.Form):
    """Which child takes the class."""

    child = forms.ModelChoiceField(
        Child.objects.none(),
        to_field_name="public_id",
        empty_label=None,
        error_messages={"required": "Choose a child.", "invalid_choice": "Choose one of your children."},
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, household: Household, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["child"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = household.children.all()
