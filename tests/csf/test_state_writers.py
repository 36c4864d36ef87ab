"""Every status has its edges as data, and only the functions of `csf.state` write one."""

import ast
import re

import pytest
from django.apps import apps
from django.db import models

from tests.conftest import ROOT

OURS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
SQL = re.compile(r"\bSET\s+status\b|\bSET\b[^;]*[\s,]status\s*=", re.IGNORECASE)
MAY = {
    "csf/state.py": "the door itself",
    "notifications/sending/results.py": "what a post came to, for a whole batch at once",
    "billing/ledger/disputes.py": "Stripe's own words for a dispute, whatever they are",
}
WITHOUT_EDGES = {"billing.Dispute"}


def stateful():
    for model in apps.get_models():
        if model._meta.app_label in OURS and "status" in {field.name for field in model._meta.fields}:
            yield model


def python_files():
    for app in OURS:
        yield from (path for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts)


def writes_of(tree):
    """Each statement that could write a status without asking the edges."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="update" | "aupdate"), keywords=keywords):
                if any(keyword.arg == "status" for keyword in keywords):
                    yield node.lineno
            case ast.Call(func=ast.Attribute(attr="bulk_update"), args=[_, ast.List(elts=names), *_]):
                if any(isinstance(name, ast.Constant) and name.value == "status" for name in names):
                    yield node.lineno
            case ast.Call(func=ast.Attribute(attr="save"), keywords=keywords):
                fields = [
                    ast.unparse(keyword.value) for keyword in keywords if keyword.arg == "update_fields"
                ]
                if any("'status'" in names for names in fields):
                    yield node.lineno
            case ast.Constant(value=str(text)) if SQL.search(text) and "UPDATE" in text:
                yield node.lineno


def test_only_the_doors_write_a_status():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in python_files()
        for line in writes_of(ast.parse(path.read_text()))
        if str(path.relative_to(ROOT)) not in MAY
    }

    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        'Order.objects.filter(pk=1).update(status="paid")',
        'Order.objects.bulk_update(rows, ["status"])',
        'order.save(update_fields=["status"])',
        'cursor.execute("UPDATE orders_order SET note = 1, status = 2")',
    ],
)
def test_the_scan_finds_a_planted_writer(code):
    assert list(writes_of(ast.parse(code))) == [1]


def test_every_status_has_its_edges():
    without = {model._meta.label for model in stateful() if not hasattr(model, "EDGES")}

    assert without == WITHOUT_EDGES


@pytest.mark.parametrize("model", [model for model in stateful() if hasattr(model, "EDGES")], ids=str)
def test_the_edges_name_each_status_once(model):
    field = model._meta.get_field("status")

    assert isinstance(field, models.CharField)
    assert set(model.EDGES) == {value for value, _ in field.flatchoices}
