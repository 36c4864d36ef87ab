"""How every form, command and import reads an email address."""

import unicodedata
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254  # of an address on the wire (RFC 5321), and of our columns


def clean_address(text: str) -> str:
    """The address as it is stored, compared and mailed to: ASCII, lower case, an international domain in its
    `xn--` form.

    Raises ValidationError for what our mail provider would refuse. Whether the mailbox exists is shown by the
    code sent to it.
    """
    typed = unicodedata.normalize("NFC", text).strip()
    try:
        checked = validate_email(typed, allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValidationError(f"Enter a valid email address. {error}", code="invalid") from error
    address = (checked.ascii_email or checked.normalized).lower()
    if len(address) > MAX_LENGTH:
        raise ValidationError("Enter a valid email address. This one is too long.", code="invalid")
    return address


class AddressField(forms.CharField):
    """An email address, cleaned as everywhere else."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Email")
        kwargs.setdefault("widget", forms.TextInput({"type": "email", "autocomplete": "email"}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> str:
        text: str = super().to_python(value) or ""
        return clean_address(text) if text else text
