"""Django's translation tags and its include, for emails: they look the words and the other template up once,
when a template is compiled, and not for each mail. `notifications.render` compiles the templates once a
language.

`{% translate %}` and `{% blocktranslate trimmed with ... count ... %}` are written and extracted
(`makemessages`) as everywhere; "context" and "asvar" are not needed here.
"""

import re
from collections.abc import Mapping
from typing import Any

from django import template
from django.template.base import FilterExpression, Node, Parser, TextNode, Token
from django.template.exceptions import TemplateSyntaxError
from django.template.loader_tags import do_include
from django.templatetags.i18n import do_block_translate, do_translate
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

register = template.Library()
_PART = re.compile(r"%\((\w+)\)s|(%%)")


@register.filter(needs_autoescape=True)
def strong(value: Any, autoescape: bool = True) -> str:
    """What must not be overlooked, such as an amount. The same in a text, which has no bold letters."""
    return _within('<span class="strong">', value, "</span>") if autoescape else str(value)


@register.filter(needs_autoescape=True)
def bdi(value: Any, autoescape: bool = True) -> str:
    """A name, whose letters may run the other way than the sentence around it. The element `bdi` would say
    so too, but most mail programs drop it."""
    return _within('<span dir="auto">', value, "</span>") if autoescape else str(value)


def _within(start: str, value: Any, end: str) -> SafeString:
    return mark_safe(f"{start}{conditional_escape(value)}{end}")  # noqa: S308 - escaped


@register.tag
def translate(parser: Parser, token: Token) -> Node:
    node = do_translate(parser, token)
    if node.asvar or node.message_context or node.filter_expression.var.lookups:
        raise TemplateSyntaxError(f"emails translate constants only, not {token.contents!r}")
    return TextNode(node.render(template.Context(autoescape=False)))


@register.tag
def blocktranslate(parser: Parser, token: Token) -> Node:
    node = do_block_translate(parser, token)
    if node.asvar or node.message_context:
        raise TemplateSyntaxError(f"emails know no context and no asvar: {token.contents!r}")
    singular, names = node.render_token_list(node.singular)
    plural, more_names = node.render_token_list(node.plural) if node.plural else ("", [])
    bound = node.extra_context | ({node.countervar: node.counter} if node.counter else {})
    values = {name: bound.get(name) or parser.compile_filter(name) for name in [*names, *more_names]}
    if node.counter:
        return Counted(singular, plural, node.counter, values)
    return Sentence(gettext(singular), singular, values)


@register.tag
def include(parser: Parser, token: Token) -> Node:
    node = do_include(parser, token)
    loader = parser.origin and parser.origin.loader
    assert loader, "emails are files"
    included = loader.engine.get_template(node.template.resolve(template.Context()))
    return Included(included, node.extra_context)


class Included(Node):
    def __init__(self, included: template.Template, values: Mapping[str, FilterExpression]) -> None:
        self.nodelist, self.values = included.nodelist, values

    def render(self, context: template.Context) -> SafeString:
        if not self.values:
            return self.nodelist.render(context)
        with context.push(**{name: value.resolve(context) for name, value in self.values.items()}):
            return self.nodelist.render(context)


class Sentence(Node):
    """Text with values between; the original if the translation has a placeholder that nothing fills."""

    def __init__(self, message: str, original: str, values: Mapping[str, FilterExpression]) -> None:
        told = {name for name, _ in _PART.findall(message) if name}
        pieces = _PART.split(message if told <= values.keys() else original)
        self.parts: list[str | FilterExpression] = []
        for text, name, percent in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True):
            self.parts += [text, values[name] if name else "%" if percent else ""]

    def render(self, context: template.Context) -> str:
        escaped = conditional_escape if context.autoescape else str
        return "".join(
            [part if isinstance(part, str) else escaped(part.resolve(context)) for part in self.parts]
        )


class Counted(Node):
    """Of which the language has several forms; the number decides."""

    def __init__(
        self, singular: str, plural: str, counter: FilterExpression, values: Mapping[str, FilterExpression]
    ) -> None:
        self.singular, self.plural, self.counter, self.values = singular, plural, counter, values

    def render(self, context: template.Context) -> str:
        number = self.counter.resolve(context)
        message = ngettext(self.singular, self.plural, number)
        original = self.singular if number == 1 else self.plural
        return Sentence(message, original, self.values).render(context)
