"""How the site draws its forms: the first field with an error gets the focus, also without scripts."""

from typing import Any

from django.forms import BoundField
from django.forms.renderers import TemplatesSetting


class FocusedField(BoundField):
    def build_widget_attrs(self, attrs: dict[str, Any], widget: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().build_widget_attrs(attrs, widget)
        if self.form.is_bound and self.name == next(iter(self.form.errors), None):
            found["autofocus"] = True
        return found


class Renderer(TemplatesSetting):
    bound_field_class = FocusedField
