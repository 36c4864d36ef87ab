"""The forms of the pages about emails."""

from typing import Any

from django import forms

from csf.forms.email_address import AddressField
from enrollments.forms import LastNameField, NameField
from enrollments.models import User
from notifications.facts.readers import leads
from notifications.preferences.rules import CHOICES, COPIES, Origin, choices_of, choose


class PreferencesForm(forms.Form):
    """A tick for each thing that this person can switch."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        has_copies = user.household_id is not None and not leads(user)
        for name, is_on in choices_of(user).items():
            if name == COPIES and not has_copies:
                continue
            self.fields[name] = forms.BooleanField(
                label=CHOICES[name].title, help_text=CHOICES[name].about, initial=is_on, required=False
            )

    def save(self) -> bool:
        """Whether anything changed."""
        changes = [
            choose(self._user, name, is_on=is_on, origin=Origin.PAGE)
            for name, is_on in self.cleaned_data.items()
        ]
        return any(changes)


class InvitationForm(forms.Form):
    first_name = NameField(max_length=60)
    last_name = LastNameField()
    email = AddressField(label="Their email address")
