"""Check each request against the types in Stripe's Python SDK for the pinned API version."""

import functools
import re
import types
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from stripe import RequestOptions, StripeObject
from typing_extensions import get_type_hints, is_typeddict

from demo.standins.stripe.objects.errors import StripeError, invalid_request
from demo.standins.stripe.objects.store import Obj

DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,12})?", re.ASCII)
# RequestOptions, the base of most parameter types, names these two only for type checkers.
LOCAL_NAMES = {"StripeContext": Any, "Mapping": Mapping}


def check(params: Obj, params_type: type) -> Obj:
    """The parameters with their values converted from strings, or Stripe's 400."""
    typed: Obj = _object(params, params_type, "")
    return typed


@functools.cache
def _fields(params_type: type) -> dict[str, Any]:
    hints = get_type_hints(params_type, localns=LOCAL_NAMES, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in RequestOptions.__annotations__}


@functools.cache
def _choices(hint: Any) -> tuple[Any, ...]:
    """The members of a union that a form can hold.

    The SDK leaves its enums open (`Literal[...] | str`); the API does not.
    """
    members = [m for m in get_args(hint) if not _is_stripe_object(m)]
    literals = [m for m in members if get_origin(m) is Literal and get_args(m) != ("",)]
    return tuple(m for m in members if not (literals and m is str))


def _is_stripe_object(hint: Any) -> bool:
    plain = get_origin(hint) or hint
    return isinstance(plain, type) and issubclass(plain, StripeObject)


def _convert(value: Any, hint: Any, name: str) -> Any:
    origin = get_origin(hint)
    if origin in (NotRequired, Required):
        return _convert(value, get_args(hint)[0], name)
    if origin is Union or isinstance(hint, types.UnionType):
        return _union(value, _choices(hint), name)
    if origin is Literal:
        return _literal(value, get_args(hint), name)
    if origin is list:
        return _list(value, get_args(hint)[0], name)
    if origin is dict:
        return _dict(value, name)
    if is_typeddict(hint):
        return _object(value, hint, name)
    return _scalar(value, hint, name)


def _object(value: Any, params_type: type, name: str) -> Obj:
    if not isinstance(value, dict):
        raise invalid_request("Invalid object", name)
    fields = _fields(params_type)
    required: frozenset[str] = params_type.__required_keys__  # type: ignore[attr-defined]
    for key in value:
        if key not in fields:
            raise _unknown(_inside(name, key))
    for key in fields:
        if key in required and key not in value:
            raise missing(_inside(name, key))
    return {key: _convert(item, fields[key], _inside(name, key)) for key, item in value.items()}


def _union(value: Any, choices: tuple[Any, ...], name: str) -> Any:
    refusals: list[StripeError] = []
    for choice in choices:
        try:
            return _convert(value, choice, name)
        except StripeError as refusal:
            refusals.append(refusal)
    # The deepest error belongs to the member that was meant.
    raise max(refusals, key=lambda refusal: len(refusal.body["error"].get("param", "")))


def _literal(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    if value not in allowed:
        raise invalid_request(f"Invalid {name}: must be one of {', '.join(map(str, allowed))}", name)
    return value


def _list(value: Any, hint: Any, name: str) -> list[Any]:
    if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
        raise invalid_request("Invalid array", name)
    return [_convert(value[key], hint, _inside(name, key)) for key in sorted(value, key=int)]


def _dict(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise invalid_request("Invalid hash", name)
    return value


def _scalar(value: Any, hint: Any, name: str) -> Any:
    if not isinstance(value, str):
        raise invalid_request(f"Invalid string: {value}", name)
    if value == "":
        raise invalid_request(f"You passed an empty string for '{name}'.", name, "parameter_invalid_empty")
    if hint is bool:
        if value not in ("true", "false"):
            raise invalid_request(f"Invalid boolean: {value}", name)
        return value == "true"
    if hint is int:
        return _integer(value, name)
    if hint in (float, Decimal) and not DECIMAL.fullmatch(value):
        raise invalid_request(f"Invalid decimal: {value}", name)
    return value


def _integer(value: str, name: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 16):
        raise invalid_request(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return int(value)


def _inside(name: str, key: str) -> str:
    return f"{name}[{key}]" if name else key


def missing(name: str) -> StripeError:
    return invalid_request(f"Missing required param: {name}.", name, "parameter_missing")


def _unknown(name: str) -> StripeError:
    return invalid_request(f"Received unknown parameter: {name}", name, "parameter_unknown")
