"""No file names an app above its own, not even in a string or a template: what an import may not do, a dotted
path, the label of a model or an include may not do either."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

LAYERS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
MAY_NAME_ALL = {"csf/settings.py", "csf/urls.py"}


def texts_of_code(text: str) -> Iterator[str]:
    """Its strings, without docstrings: those may say who calls."""
    tree = ast.parse(text)
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


def texts_of_template(text: str) -> Iterator[str]:
    yield from re.findall(r"{%.*?%}", text)


def named_above(app: str, texts: Iterator[str]) -> list[str]:
    above = "|".join(LAYERS[LAYERS.index(app) + 1 :])
    return [found for text in texts for found in re.findall(rf"\b(?:{above})[./:][a-z_]\w*", text)]


def modules(app: str) -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / app).rglob("*.py")):
        name = str(file.relative_to(ROOT))
        if name not in MAY_NAME_ALL and not {"migrations", "djstripe_migrations"} & set(file.parts):
            yield name, file.read_text()


def templates(app: str) -> Iterator[tuple[str, str]]:
    """Those of its folder; what lies in no app's folder is the ground's."""
    for file in sorted((ROOT / "templates").rglob("*.html")):
        name = file.relative_to(ROOT)
        if next((part for part in name.parts if part in LAYERS), "csf") == app:
            yield str(name), file.read_text()


@pytest.mark.parametrize("app", LAYERS[:-1])
def test_no_string_names_an_app_above(app):
    found = {name: named_above(app, texts_of_code(text)) for name, text in modules(app)}
    found |= {name: named_above(app, texts_of_template(text)) for name, text in templates(app)}

    assert {name: names for name, names in found.items() if names} == {}


def test_a_name_above_is_found_wherever_it_stands():
    code = "'Read by billing.tasks.'; PATH = 'billing.tasks.sweep'; MODELS = ['orders.order', 'csf.jobrun']"
    template = '{% include "billing/_held.html" %} {{ orders.total }} {% url "orders:cart" %}'

    assert named_above("enrollments", texts_of_code(code)) == ["billing.tasks", "orders.order"]
    assert named_above("orders", texts_of_template(template)) == ["billing/_held"]
    assert named_above("csf", texts_of_template(template)) == ["billing/_held", "orders:cart"]


def test_the_map_of_the_architecture_names_every_folder():
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {file.parent.name for app in [*LAYERS, "demo"] for file in (ROOT / app).glob("*/__init__.py")}
    technical = {"migrations", "djstripe_migrations", "management", "templatetags", "formats"}

    assert {name for name in packages - technical if f"`{name}`" not in page} == set()


IMPORTED_TEST = re.compile(r"^\s*(?:from|import) .*\btest_\w+", re.MULTILINE)


def test_no_test_module_is_imported():
    """What tests share has a module of its own."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    found = {str(file.relative_to(ROOT)): IMPORTED_TEST.findall(file.read_text()) for file in files}

    assert {name: lines for name, lines in found.items() if lines} == {}
    assert len(IMPORTED_TEST.findall("from tests.csf.test_jobs import run\n    import test_jobs\n")) == 2
