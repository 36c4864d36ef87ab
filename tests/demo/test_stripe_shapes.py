"""Each object that the stand-in makes has the shape that the SDK's classes declare."""

import importlib
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import stripe
from stripe import StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import get_type_hints

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Shop, play_everything, receiver

CLASSES = {
    "account": stripe.Account,
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "invoiceitem": stripe.InvoiceItem,
    "item": stripe.LineItem,
    "line_item": stripe.InvoiceLineItem,
    "list": stripe.ListObject,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "refund": stripe.Refund,
    "setup_intent": stripe.SetupIntent,
    "webhook_endpoint": stripe.WebhookEndpoint,
}


MODULES = {name: module for module, name in OBJECT_CLASSES.values()}


class Names(dict[str, Any]):
    """What the SDK's annotations name only for type checkers."""

    def __missing__(self, name: str) -> Any:
        name = name.removesuffix("Resource")
        # Some are named for their package too: what they declare is not looked at here.
        return getattr(importlib.import_module(MODULES[name]), name) if name in MODULES else StripeObject


def faults_of(obj: dict[str, Any], cls: type, where: str) -> Iterator[str]:
    hints = {
        k: v for k, v in get_type_hints(cls, localns=Names()).items() if k[0] != "_" and k != "OBJECT_NAME"
    }
    yield from (f"{where}.{name}: no such field" for name in obj.keys() - hints.keys() - {"object"})
    for name, hint in hints.items():
        optional = type(None) in get_args(hint)
        if obj.get(name) is not None:
            yield from _faults_of_value(obj[name], hint, f"{where}.{name}")
        elif not optional:
            yield f"{where}.{name}: missing"


def _faults_of_value(value: Any, hint: Any, where: str) -> Iterator[str]:
    origin = get_origin(hint)
    kind = value.get("object") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in CLASSES:
        yield from faults_of(value, CLASSES[kind], where)
    elif origin is Union or isinstance(hint, types.UnionType):
        yield from _faults_of_union(value, [m for m in get_args(hint) if m is not type(None)], where)
    elif origin is list:
        for number, item in enumerate(value):
            yield from _faults_of_value(item, get_args(hint)[0], f"{where}[{number}]")
    elif origin is Literal:
        if value not in get_args(hint):
            yield f"{where}: {value!r}"
    elif isinstance(hint, type) and issubclass(hint, StripeObject) and hint is not UntypedStripeObject:
        yield from faults_of(value, hint, where) if isinstance(value, dict) else [f"{where}: {value!r}"]
    elif hint in (str, int, bool) and type(value) is not hint:
        yield f"{where}: {value!r} is no {hint.__name__}"


def _faults_of_union(value: Any, members: list[Any], where: str) -> Iterator[str]:
    """The SDK leaves its enums open (`Literal[...] | str`); here they count as closed."""
    closed = (
        [m for m in members if m is not str] if any(get_origin(m) is Literal for m in members) else members
    )
    found = [list(_faults_of_value(value, member, where)) for member in closed]
    yield from min(found, key=len)


@pytest.fixture
def objects() -> list[dict[str, Any]]:
    """Every object and event of a day in which everything happens, as the API answers them."""
    with receiver() as hook, StripeServer() as server:
        shop = Shop(server)
        shop.listen(hook, ["*"])
        play_everything(shop)
        return [*_answers(shop), *(event for event in hook.wait_for(len(shop.event_types())))]


def _answers(shop: Shop) -> Iterator[dict[str, Any]]:
    v = shop.v
    yield v.accounts.retrieve_current().to_dict()
    lists = (
        *(v.customers, v.payment_intents, v.charges, v.events, v.webhook_endpoints, v.setup_intents),
        *(v.invoices, v.invoice_items, v.invoice_payments, v.refunds, v.disputes),
        v.radar.early_fraud_warnings,
    )
    for resource in lists:
        yield from (obj.to_dict() for obj in resource.list({"limit": 100}).data)
    invoices = v.invoices.list({"expand": ["data.payments.data.payment.payment_intent"]}).data
    yield from (obj.to_dict() for obj in invoices)
    yield from (line.to_dict() for line in v.invoices.line_items.list(invoices[-1].id).data)
    expand = {
        "limit": 100,
        "expand": ["data.line_items", "data.payment_intent.latest_charge", "data.customer"],
    }
    yield from (obj.to_dict() for obj in v.checkout.sessions.list(expand).data)
    customer = v.customers.list().data[0].id
    yield from (obj.to_dict() for obj in v.customers.payment_methods.list(customer).data)


def test_every_object_has_the_declared_shape(objects: list[dict[str, Any]]):
    assert {obj["object"] for obj in objects} == CLASSES.keys() - {"balance_transaction", "item", "list"}
    faults = {fault for obj in objects for fault in faults_of(obj, CLASSES[obj["object"]], obj["object"])}
    assert sorted(faults) == []
