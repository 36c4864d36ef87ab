"""Stripe objects: made from Stripe's own samples, looked up, listed and expanded."""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from demo.standins.stripe.objects.errors import invalid_request, no_such
from demo.standins.stripe.objects.state import Call, State
from demo.standins.stripe.objects.store import Obj, copied, new_id

FIXTURES = Path(__file__).with_name("data") / "fixtures3.json"

CUSTOM_TEXTS = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")

# Stripe's samples are inconsistent: they refer to missing objects and contain arbitrary figures.
PLAIN: dict[str, Obj] = {
    "account": {"charges_enabled": True, "payouts_enabled": True, "details_submitted": True},
    "charge": {
        "balance_transaction": None,
        "description": None,
        "receipt_url": None,
        "shipping": None,
        "source": None,
        "transfer_data": None,
    },
    "balance_transaction": {"fee_details": [], "status": "pending"},
    "checkout.session": {
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "cancel_url": None,
        "consent": None,
        "consent_collection": None,
        "currency_conversion": None,
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer_details": None,
        "invoice_creation": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "managed_payments": None,
        "payment_intent": None,
        "payment_method_configuration_details": None,
        "permissions": None,
        "saved_payment_method_options": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "wallet_options": None,
    },
    "customer": {"discount": None, "shipping": None},
    "dispute": {
        "is_charge_refundable": False,
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
        },
        "reason": "fraudulent",
        "status": "needs_response",
    },
    "event": {"data": {}},
    "invoice": {
        "amount_overpaid": 0,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "customer_shipping": None,
        "due_date": None,
        "effective_at": None,
        "from_invoice": None,
        "last_finalization_error": None,
        "next_payment_attempt": None,
        "parent": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "webhooks_delivered_at": None,
    },
    "invoice_payment": {"livemode": False},
    "invoiceitem": {"parent": None, "quantity_decimal": "1"},
    "payment_intent": {
        "amount_details": {"tip": {}},
        "automatic_payment_methods": None,
        "canceled_at": None,
        "last_payment_error": None,
        "managed_payments": None,
        "next_action": None,
        "payment_method_configuration_details": None,
        "processing": None,
        "shipping": None,
        "transfer_data": None,
    },
    "setup_intent": {
        "automatic_payment_methods": None,
        "last_setup_error": None,
        "next_action": None,
        "payment_method_configuration_details": None,
    },
}
DROPPED = {"account": ("settings",), "charge": ("refunds",), "invoice": ("subscription",)}

# Properties that only `expand` brings in: (kind of object, or path to a part of one; name) -> reader.
INCLUDABLE: dict[tuple[str, str], Callable[[State, Obj], Any]] = {}


@functools.cache
def samples() -> dict[str, Obj]:
    resources: dict[str, Obj] = json.loads(FIXTURES.read_text())["resources"]
    return resources


@functools.cache
def _blank(kind: str) -> Obj:
    blank = {**samples()[kind], **PLAIN.get(kind, {})}
    return {name: value for name, value in blank.items() if name not in DROPPED.get(kind, ())}


def build(state: State, kind: str, object_id: str, **values: Any) -> Obj:
    """A new object, not yet stored."""
    blank = copied(_blank(kind))
    own = {"created": state.store.now(), "metadata": {}}
    return {**blank, **{name: own[name] for name in own.keys() & blank.keys()}, **values, "id": object_id}


def save(state: State, obj: Obj) -> Obj:
    state.store.put(obj["object"], obj["id"], obj)
    return obj


def require(state: State, kind: str, object_id: str, *, name: str = "", param: str = "id") -> Obj:
    """The object, or Stripe's answer for a wrong id: 404 in the path, 400 in a parameter."""
    obj = state.store.get(kind, object_id)
    if obj is None:
        raise no_such(name or kind, object_id, param, status=404 if param == "id" else 400)
    return obj


def list_answer(call: Call, url: str, rows: Iterable[Obj], *, default_limit: int = 10) -> Obj:
    """One page of `rows`, which come newest first."""
    params = call.params
    limit = params.get("limit", default_limit)
    if not 1 <= limit <= 100:
        raise invalid_request(
            "Invalid limit: must be between 1 and 100", "limit", "parameter_invalid_integer"
        )
    page, has_more = _page(list(rows), limit, params.get("starting_after"), params.get("ending_before"))
    return {"object": "list", "url": url, "has_more": has_more, "data": page}


def _page(rows: list[Obj], limit: int, after: str | None, before: str | None) -> tuple[list[Obj], bool]:
    if after is not None:
        rows = rows[_position(rows, after, "starting_after") + 1 :]
    if before is not None:
        rows = rows[: _position(rows, before, "ending_before")]
        return rows[-limit:], len(rows) > limit
    return rows[:limit], len(rows) > limit


def _position(rows: list[Obj], object_id: str, param: str) -> int:
    for position, row in enumerate(rows):
        if row["id"] == object_id:
            return position
    raise no_such("object", object_id, param, status=400)


def filtered(state: State, call: Call, kind: str, names: Sequence[str]) -> Iterable[Obj]:
    """All objects of a kind that match the named parameters and `created`."""
    wanted = {name: call.params[name] for name in names if name in call.params}
    created = call.params.get("created")

    def keep(row: Obj) -> bool:
        agrees = all(row[name] == value for name, value in wanted.items())
        return agrees and (created is None or in_range(row["created"], created))

    return state.store.newest_first(kind, keep)


def in_range(value: int, limits: int | dict[str, int]) -> bool:
    if isinstance(limits, int):
        return value == limits
    return (
        value > limits.get("gt", -1)
        and value >= limits.get("gte", 0)
        and value < limits.get("lt", value + 1)
        and value <= limits.get("lte", value)
    )


def refuse_unsupported(params: Obj, supported: Iterable[str], *, inside: str = "") -> None:
    """Refuse parameters that Stripe supports and the stand-in would silently ignore."""
    for name in sorted(params.keys() - set(supported)):
        param = f"{inside}[{name}]" if inside else name
        raise invalid_request(f"The stand-in does not support this parameter: {param}", param)


def merge_metadata(old: Obj, new: Obj | str) -> Obj:
    """Keys are added, replaced, or removed by an empty value; an empty string removes all."""
    if not isinstance(new, dict):
        return {}
    merged = {key: value for key, value in {**old, **new}.items() if value != ""}
    if len(merged) > 50 or any(len(key) > 40 or len(value) > 500 for key, value in merged.items()):
        raise invalid_request("Metadata holds 50 keys of 40 characters, values of 500", "metadata")
    return merged


def expand(state: State, answer: Obj, paths: Iterable[str]) -> Obj:
    """A copy of the answer with the ids at these paths replaced by their objects."""
    expanded = copied(answer)
    for path in paths:
        _expand(state, expanded, path.split("."), path)
    return expanded


def _expand(state: State, obj: Obj, names: list[str], path: str, inside: str = "") -> None:
    name, rest = names[0], names[1:]
    kind = obj.get("object", inside)
    value = obj.get(name)
    if value is None and (kind, name) in INCLUDABLE:
        value = obj[name] = INCLUDABLE[kind, name](state, obj)
    elif isinstance(value, str):
        value = obj[name] = copied(_find(state, value, path))
    elif name not in obj:
        raise _not_expandable(path)
    for item in value if isinstance(value, list) else [value]:
        if rest and isinstance(item, dict):
            _expand(state, item, rest, path, f"{kind}.{name}")


def _find(state: State, object_id: str, path: str) -> Obj:
    for table in list(state.store.tables):
        found = state.store.get(table, object_id)
        if found is not None and "object" in found:
            return found
    raise _not_expandable(path)


def _not_expandable(path: str) -> Exception:
    return invalid_request(f"This property cannot be expanded ({path}).", "expand")


def client_secret(object_id: str) -> str:
    return new_id(f"{object_id}_secret")
