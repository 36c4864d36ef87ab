"""The product stays easy to find one's way in: the ground small, folders, files and functions short."""

import ast
import io
import tokenize
from collections import Counter

import pytest

from tests.conftest import ROOT

APPS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
MOST_LINES_OF_GROUND = 4200
MOST_LINES_OF_A_FILE = 450
MOST_MODULES_OF_A_FOLDER = 20
MOST_ROOMS_OF_BILLING = 18
LINES_OF_95_PERCENT_OF_FUNCTIONS = 25
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def files(app):
    return [file for file in sorted((ROOT / app).rglob("*.py")) if not made_by_django(file)]


def made_by_django(file):
    return bool({"migrations", "djstripe_migrations"} & set(file.parts))


def lines_of_code(text):
    """Without blank lines, comments and docstrings."""
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            code -= set(range(node.lineno, node.end_lineno + 1))
    return len(code)


def test_ground_stays_small():
    assert sum(lines_of_code(file.read_text()) for file in files("csf")) <= MOST_LINES_OF_GROUND


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", 0),
        ('"""One.\n\nTwo."""\n\n# Three\nx = 1  # four\n', 1),
        ('x = """\n\n"""\n', 3),
        ("def f():\n    'Says.'\n\n    return [\n        1,\n    ]\n", 4),
    ],
)
def test_lines_of_code_are_counted_without_what_only_explains(text, lines):
    assert lines_of_code(text) == lines


@pytest.mark.parametrize("app", [*APPS, "tests"])
def test_no_file_is_too_long_and_no_folder_too_full(app):
    lengths = {file: len(file.read_text().splitlines()) for file in files(app)}
    modules = Counter(file.parent for file in files(app) if file.name != "__init__.py")

    assert {file for file, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == set()
    assert {folder for folder, count in modules.items() if count > MOST_MODULES_OF_A_FOLDER} == set()


def test_billing_has_few_rooms():
    rooms = {file.relative_to(ROOT / "billing").parts[0] for file in files("billing")} - {"__init__.py"}

    assert len(rooms) <= MOST_ROOMS_OF_BILLING


def test_nearly_all_functions_fit_at_a_glance():
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for app in APPS
        for file in files(app)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert lengths[int(len(lengths) * 0.95)] < LINES_OF_95_PERCENT_OF_FUNCTIONS
