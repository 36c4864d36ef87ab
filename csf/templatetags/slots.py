"""Places in a template that apps above its own fill: `{% slot "notices" %}`."""

from collections import defaultdict

from django import template
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
_fillings: defaultdict[str, list[str]] = defaultdict(list)


def fill(slot: str, filling: str) -> None:
    """Show a template wherever the slot is, with the context of that place. Called once, by `ready`."""
    _fillings[slot].append(filling)


@register.simple_tag(takes_context=True)
def slot(context: template.Context, name: str) -> SafeString:
    with context.push():
        found = [get_template(filling).template.render(context) for filling in _fillings[name]]  # type: ignore[attr-defined]
    return mark_safe("".join(found))  # noqa: S308 - rendered by templates
