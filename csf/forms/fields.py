"""What the office types, cleaned to integers: amounts in the school's currency and percentages."""

import datetime
import re
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from unfold.widgets import UnfoldAdminTextInputWidget

from csf.money import money_text, percent_text

HIGHEST_CENTS = 99_999_999
FIRST_YEAR, LAST_YEAR = 1900, 2199
# Commas only between groups of three: 1,50 may mean 1.50 or 150, so it is refused.
NUMBER = re.compile(r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]{1,2})?")


# Times as pages show them, and by the 24-hour clock: 4pm, 3:30 PM, 15:30.
_CLOCK = ["%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p"]
_BAD_CLOCK = "Enter a time like 4:30 PM or 16:30."
CLOCK_FIELDS: dict[Any, dict[str, Any]] = {
    models.TimeField: {"input_formats": _CLOCK, "error_messages": {"invalid": _BAD_CLOCK}},
    models.DateTimeField: {"input_time_formats": _CLOCK, "error_messages": {"invalid_time": _BAD_CLOCK}},
}
"""The `formfield_overrides` of an admin."""


class _HundredthsField(forms.Field):
    """A number with up to two decimals, as the integer of its hundredths."""

    default_error_messages: ClassVar[dict[str, Any]] = {"invalid": "Enter a number like 62.50."}
    ornaments = ""
    """Signs that may stand around the number."""

    def __init__(
        self, *, lowest: int, highest: int, unit: str, empty: int | None = None, **options: Any
    ) -> None:
        self.empty = empty
        super().__init__(
            widget=UnfoldAdminTextInputWidget({"inputmode": "decimal", "suffix": unit, "maxlength": 15}),
            validators=[
                MinValueValidator(lowest, f"At least {self.text_of(lowest)}.".replace("%", "%%")),
                MaxValueValidator(highest, f"At most {self.text_of(highest)}.".replace("%", "%%")),
            ],
            **options,
        )

    @staticmethod
    def text_of(hundredths: int) -> str:
        raise NotImplementedError

    def to_python(self, value: Any) -> int | None:
        if isinstance(value, int):
            return value
        typed = str("" if value is None else value).strip().strip(self.ornaments).strip()
        if not typed:
            return self.empty
        if not NUMBER.fullmatch(typed):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return int(Decimal(typed.replace(",", "")) * 100)

    def prepare_value(self, value: Any) -> Any:
        return f"{Decimal(value) / 100:.2f}" if isinstance(value, int) else value


class CentsField(_HundredthsField):
    """Typed as 62.50 or $1,250, cleaned to 6250 or 125000 cents. At least one cent unless `lowest` is 0."""

    def __init__(self, *, lowest: int = 1, **options: Any) -> None:
        self.ornaments = f"${money_text(0).strip('0.,')}"
        unit = settings.CURRENCY.upper()
        super().__init__(lowest=lowest, highest=HIGHEST_CENTS, unit=unit, **options)

    @staticmethod
    def text_of(hundredths: int) -> str:
        return money_text(hundredths)


class PercentField(_HundredthsField):
    """Typed as 12.5, cleaned to 1250 basis points."""

    ornaments = "%"

    def __init__(self, *, lowest: int = 0, highest: int = 10_000, **options: Any) -> None:
        super().__init__(lowest=lowest, highest=highest, unit="%", **options)

    @staticmethod
    def text_of(hundredths: int) -> str:
        return percent_text(hundredths)

    def prepare_value(self, value: Any) -> Any:
        return self.text_of(value).removesuffix("%") if isinstance(value, int) else value


def field_for_hundredths(column: Any, **options: Any) -> forms.Field | None:
    """The form's field for a column of cents or basis points; None for any other column.

    A column with a default may be left empty: that is its default.
    """
    kinds: dict[str, type[CentsField | PercentField]] = {"_cents": CentsField, "_bps": PercentField}
    for ending, kind in kinds.items():
        if column.name.endswith(ending) and isinstance(column, models.IntegerField):
            label = column.verbose_name.removesuffix(ending.replace("_", " "))
            shown = {"label": label[:1].upper() + label[1:], "help_text": column.help_text}
            default = {"initial": column.default, "empty": column.default} if column.has_default() else {}
            return kind(lowest=0, required=not default, **shown | default | options)
    return None


def check_year(value: datetime.date) -> None:
    """For every date that staff type: of some moments of the year 9999 no page could be shown any more."""
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise forms.ValidationError(f"Check the year: from {FIRST_YEAR} to {LAST_YEAR}.")
