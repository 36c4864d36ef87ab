"""Stripe's form encoding: `a[b][0][c]=v` as nested dicts of strings."""

import re
from urllib.parse import parse_qsl

from demo.standins.stripe.objects.errors import invalid_request
from demo.standins.stripe.objects.store import Obj

KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def decode(text: str) -> Obj:
    """Lists come out as dicts with the keys "0", "1", ...: only the parameter's type says which it is."""
    form: Obj = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        match = KEY.fullmatch(key)
        if match is None:
            raise invalid_request(f"Invalid parameter name: {key}", key)
        _set(form, [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])], value, key)
    return form


def _set(form: Obj, path: list[str], value: str, key: str) -> None:
    for part in path[:-1]:
        form = form.setdefault(part or str(len(form)), {})
        if not isinstance(form, dict):
            raise invalid_request(f"Invalid object: {key}", key)
    last = path[-1] or str(len(form))
    if last in form:
        raise invalid_request(f"Parameter given twice: {key}", key)
    form[last] = value
