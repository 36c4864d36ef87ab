"""How cells of lists and pages of the admin look: states, amounts, names, links."""

import json
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db import models
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from csf.money import money_text, percent_text
from csf.state import colour_of

Column = Callable[[Any], Any]


def label(colour: str, text: str) -> SafeString:
    """In green ("success"), blue ("info"), orange ("warning"), red ("danger"), or grey ("")."""
    return render_to_string("unfold/helpers/label.html", {"type": colour, "text": text})


def badge(state: str, text: str) -> SafeString:
    """A state in its color, see `csf.state.colours`."""
    return label(colour_of(state), text)


def state(field: str = "status", title: str = "") -> Column:
    """A column that shows a field with choices as a colored label."""

    @admin.display(description=title or field, ordering=field)
    def shown(obj: Any) -> SafeString:
        return badge(getattr(obj, field), getattr(obj, f"get_{field}_display")())

    shown.__name__ = f"{field}_badge"
    return shown


def money(field: str, title: str = "") -> Column:
    """A column that shows cents as an amount."""
    return _column(field, title or field.removesuffix("_cents").replace("_", " "), money_text)


def percent(field: str) -> Column:
    """A column that shows basis points as a percentage."""
    return _column(field, field.removesuffix("_bps").replace("_", " "), percent_text)


def _column(field: str, title: str, show: Callable[[Any], object]) -> Column:
    @admin.display(description=title, ordering=field)
    def shown(obj: Any) -> object:
        value = getattr(obj, field)
        return None if value is None else show(value)

    shown.__name__ = field
    return shown


def readable(name: Any) -> Any:
    """A column of cents or basis points by its field's name as money or percent; any other as it is."""
    if isinstance(name, list | tuple):
        return type(name)(readable(part) for part in name)
    if isinstance(name, str) and name.endswith("_cents"):
        return money(name)
    return percent(name) if isinstance(name, str) and name.endswith("_bps") else name


def named(model: type[models.Model], name: Any, show: Callable[[Any], object]) -> Any:
    """A foreign key by the name of what it shows, "class" for `course`; any other column as it is."""
    if isinstance(name, list | tuple):
        return type(name)(named(model, part, show) for part in name)
    field = next((field for field in model._meta.fields if field.name == name), None)
    target = field.related_model if isinstance(field, models.ForeignKey) else None
    if not isinstance(target, type) or target._meta.model_name != name:
        return name
    return _column(name, str(target._meta.verbose_name), show)


def link(obj: models.Model, text: object = None) -> SafeString:
    """The row's page in the admin; only its text if it has none."""
    shown = text or obj
    try:
        url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    except NoReverseMatch:
        return format_html("{}", shown)
    return format_html('<a class="text-link" href="{}">{}</a>', url, shown)


def preformatted(text: str) -> SafeString:
    # Unfold's stylesheet holds only the utility classes that its own templates use.
    return format_html(
        '<pre class="text-xs" style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text
    )


def pretty(data: object) -> SafeString:
    """JSON values for reading, without those whose names say that they are secret."""
    text = json.dumps(_without_secrets(data), indent=2, ensure_ascii=False)
    return preformatted(text.encode(errors="replace").decode())  # events may hold lone surrogates


def _without_secrets(data: object) -> object:
    if isinstance(data, dict):
        return {
            key: "(hidden)" if "secret" in key and value else _without_secrets(value)
            for key, value in data.items()
        }
    return [_without_secrets(value) for value in data] if isinstance(data, list) else data
