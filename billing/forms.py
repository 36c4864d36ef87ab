from django import forms


class CancelForm(forms.Form):
    reason = forms.CharField(
        label="Why? (optional)",
        required=False,
        max_length=300,
        widget=forms.Textarea({"rows": 3}),
    )


class CardUpdateForm(forms.Form):
    charge_now = forms.BooleanField(required=False)
