"""Fails a test whose page asks an object for something that it has not: Django would show nothing."""

from pathlib import Path

from django.contrib.auth.models import AnonymousUser
from django.template.base import Variable, VariableDoesNotExist
from django.template.context import BaseContext

OURS = str(Path(__file__).resolve().parent.parent / "templates")
# What is not there at all, a key of stored JSON, and what only somebody signed in has, may be asked for.
MAY_LACK = (BaseContext, dict, AnonymousUser, str, type(None))
_resolve = Variable.resolve


def resolve(variable, context):
    try:
        return _resolve(variable, context)
    except VariableDoesNotExist as missing:
        template = getattr(context.render_context, "template", None)
        name = template.origin.name if template else ""
        if name.startswith(OURS) and not isinstance(missing.params[1], MAY_LACK):
            raise AssertionError(f"{name}: {variable.var} is not there") from missing
        raise


def watch(monkeypatch):
    monkeypatch.setattr(Variable, "resolve", resolve)
