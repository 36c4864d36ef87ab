"""What time it is: by the database's clock, and no other is used."""

import ast
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from csf import clock

PRODUCT = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
# Where the clock of the process may be asked, and why it does no harm there.
MAY_ASK = {
    "csf/clock.py": "compares it with the database's",
    "csf/management/commands/new_keys.py": "names a key by its moment, before there is a database",
    "notifications/sending/transport.py": "threads that have no database; a pause is at most ten minutes",
}
OWN_CLOCK = {
    "datetime.now",
    "datetime.datetime.now",
    "datetime.utcnow",
    "datetime.datetime.utcnow",
    "date.today",
    "datetime.date.today",
    "time.time",
    "timezone.now",
    "now",
    "localdate",
    "localtime",
}


def asks_own_clock(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=func, args=[], keywords=[] | [ast.keyword(arg="timezone" | "tz")]):
            return ast.unparse(func) in OWN_CLOCK | {"timezone.localdate", "timezone.localtime"}
        case ast.Call(func=func, args=[_], keywords=[]):
            return ast.unparse(func) in {"datetime.now", "datetime.datetime.now"}
        case ast.keyword(arg="auto_now" | "auto_now_add"):
            return True
        case ast.keyword(arg="default", value=value):
            return ast.unparse(value) in OWN_CLOCK
    return False


def places(source: str) -> list[int]:
    return [getattr(node, "lineno", 0) for node in ast.walk(ast.parse(source)) if asks_own_clock(node)]


def test_nothing_is_decided_by_the_clock_of_a_process():
    root, found = Path(settings.BASE_DIR), {}
    for path in (path for app in PRODUCT for path in (root / app).rglob("*.py")):
        if "migrations" not in path.parent.name and (lines := places(path.read_text())):
            found[path.relative_to(root).as_posix()] = lines

    assert found.keys() == MAY_ASK.keys(), found


@pytest.mark.parametrize(
    "line",
    [
        "x = timezone.now()",
        "x = date.today()",
        "x = timezone.localdate()",
        "x = timezone.localdate(timezone=zone)",
        "x = datetime.now(UTC)",
        "x = datetime.datetime.now(tz=UTC)",
        "x = time.time() - 5",
        "x = models.DateTimeField(auto_now=True)",
        "x = models.DateTimeField(default=timezone.now)",
    ],
)
def test_the_scan_finds(line):
    assert places(line)


@pytest.mark.django_db
@pytest.mark.clocks_differ
@pytest.mark.parametrize("wrong_by", [timedelta(days=1), -timedelta(hours=1)], ids=str)
def test_the_time_is_the_databases_and_asked_for_every_few_seconds(monkeypatch, wrong_by):
    ticks = [time.monotonic()]
    monkeypatch.setattr(clock.time, "monotonic", lambda: ticks[0])
    monkeypatch.setattr(clock, "_last", None)
    right = datetime.now(UTC)

    with (
        time_machine.travel(right + wrong_by),
        CaptureQueriesContext(
            connection,
        ) as asked,
    ):
        first = clock.now()
        assert abs(first - right) < timedelta(seconds=60)
        ticks[0] += 4
        assert clock.now() - first == timedelta(seconds=4)
        assert len(asked) == 1
        ticks[0] += 2
        assert abs(clock.now() - right) < timedelta(seconds=60)
        assert len(asked) == 2
        assert abs(clock.ahead_s() - wrong_by.total_seconds()) < 60
