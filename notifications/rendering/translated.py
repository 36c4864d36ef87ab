"""Jinja's translation, but the words are looked up once, when a template is compiled: an environment has one
language. Only what depends on a number is looked up for each mail.
"""

import re
from typing import Any

from django.utils.translation import gettext, ngettext
from jinja2 import Environment, nodes
from jinja2.ext import InternationalizationExtension
from jinja2.visitor import NodeTransformer

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class TranslatedOnce(InternationalizationExtension):
    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._install_callables(translated, translated_of_number, newstyle=True)

    def _make_node(
        self,
        singular: str,
        plural: str | None,
        context: str | None,
        variables: dict[str, nodes.Expr],
        *options: Any,
    ) -> nodes.Output:
        if plural is not None or context is not None:
            return super()._make_node(singular, plural, context, variables, *options)
        pieces = _PLACEHOLDER.split(translated(singular))
        texts = [nodes.TemplateData(text.replace("%%", "%")) for text in pieces[::2]]
        values = [variables[name] for name in pieces[1::2]]
        parts: list[nodes.Expr] = [part for pair in zip(texts, values, strict=False) for part in pair]
        return nodes.Output([*parts, texts[-1]])


def translate_constants(template: nodes.Template) -> nodes.Template:
    """`_("Pay now")` becomes what it says in this language."""
    translated: nodes.Template = _Constants().visit(template)
    return translated


class _Constants(NodeTransformer):
    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - Jinja finds it by the node's name
        self.generic_visit(node)
        match node:
            case nodes.Call(node=nodes.Name(name="_"), args=[nodes.Const(value=message)]):
                return nodes.MarkSafeIfAutoescape(nodes.Const(translated(message)), lineno=node.lineno)
        return node


def translated(message: str) -> str:
    return _fitting(gettext(message), message)


def translated_of_number(singular: str, plural: str, number: int) -> str:
    return _fitting(ngettext(singular, plural, number), singular if number == 1 else plural)


def _fitting(translation: str, original: str) -> str:
    """The original if the translation has a placeholder that nothing fills."""
    fits = set(_PLACEHOLDER.findall(translation)) <= set(_PLACEHOLDER.findall(original))
    return translation if fits else original
