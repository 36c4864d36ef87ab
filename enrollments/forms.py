import datetime
from typing import Any, ClassVar

from django import forms

from csf.forms.names import one_line
from enrollments.models import Child, EmergencyContact

OLDEST = 19  # years; this is a school for children
FEWEST_DIGITS = 7  # of a telephone number, without its area


class LineField(forms.CharField):
    """One line of text as people read it."""

    def to_python(self, value: Any) -> Any:
        line = one_line(super().to_python(value) or "")
        if value and not line:  # something was typed, but nothing readable is left
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return line


class NameField(LineField):
    """The name of a person. Mail programs make links of addresses, so a name must not hold one."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "web_address": "A name cannot contain a web address.",
        "no_letters": "Enter the name in letters.",
    }

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and "://" in value:
            raise forms.ValidationError(self.error_messages["web_address"], code="web_address")
        if value and not any(character.isalpha() for character in value):
            raise forms.ValidationError(self.error_messages["no_letters"], code="no_letters")


class LastNameField(NameField):
    """Some people have one name only."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 60, "required": False} | kwargs)


class ChildForm(forms.Form):
    first_name = NameField(
        max_length=60, widget=forms.TextInput({"autocomplete": "section-child given-name"})
    )
    last_name = LastNameField(widget=forms.TextInput({"autocomplete": "section-child family-name"}))
    born_on = forms.DateField(
        label="Date of birth",
        widget=forms.DateInput({"type": "date", "autocomplete": "section-child bday"}, format="%Y-%m-%d"),
        error_messages={"invalid": "Enter the date as year, month and day, for example 2018-05-31."},
    )

    def __init__(self, *args: Any, child: Child, on: datetime.date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {name: getattr(child, name) for name in self.fields}
        self._earliest, self._today = datetime.date(on.year - OLDEST, 1, 1), on
        limits = {"min": self._earliest.isoformat(), "max": on.isoformat()}
        self.fields["born_on"].widget.attrs.update(limits)

    def clean_born_on(self) -> datetime.date:
        born_on: datetime.date = self.cleaned_data["born_on"]
        if born_on > self._today:
            raise forms.ValidationError("This date is in the future.")
        if born_on < self._earliest:
            raise forms.ValidationError("Our classes are for children. Please check the year.")
        return born_on


class ContactForm(forms.Form):
    """One emergency contact. If it is left empty there is none, and an existing one is removed."""

    name = NameField(max_length=100)
    phone = LineField(max_length=30, widget=forms.TextInput({"type": "tel"}))
    relationship = NameField(
        max_length=60,
        label="Relationship to the child",
        help_text="For example mother, uncle or neighbor.",
        error_messages={
            "web_address": "Describe the relationship without a web address.",
            "no_letters": "Describe the relationship in words.",
        },
    )
    is_primary = forms.BooleanField(label="Call this person first", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"empty_permitted": True, "use_required_attribute": False})
        for name, kind in {"name": "name", "phone": "tel", "relationship": "off"}.items():
            purpose = kind if kind == "off" else f"section-{self.prefix} {kind}"
            self.fields[name].widget.attrs["autocomplete"] = purpose

    def has_changed(self) -> bool:
        return any((self[name].data or "").strip() for name in ("name", "phone", "relationship"))

    def clean_phone(self) -> str:
        phone: str = self.cleaned_data["phone"]
        if sum(character.isdecimal() for character in phone) < FEWEST_DIGITS:
            raise forms.ValidationError("Enter the full number, including the area code.")
        return phone


class BaseContactFormSet(forms.BaseFormSet):  # type: ignore[type-arg] # not generic at run time
    def clean(self) -> None:
        if not any(form.has_changed() for form in self.forms):
            raise forms.ValidationError("Please add at least one person we can call.")


ContactFormSet = forms.formset_factory(
    ContactForm,
    formset=BaseContactFormSet,
    extra=EmergencyContact.MOST,
    max_num=EmergencyContact.MOST,
    absolute_max=EmergencyContact.MOST,
)
