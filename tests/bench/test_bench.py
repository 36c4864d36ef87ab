"""Each benchmark runs, says what it should, and loses nothing; the figures themselves are in
docs/performance.md."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

THROUGHPUT = {"n", "seconds", "per_second", "cpu_s_per_1000", "db_cpu_s_per_1000", "peak_pss_mb"}
PERCENTILES = {"p50_ms", "p95_ms"}
SENT = THROUGHPUT | {"lost", "twice"}
STATEMENTS = {"statements", "statements_per_1000"}
PAGE = {"n", "queries", "is_constant", "cpu_ms"} | PERCENTILES
EXPECTED = {
    "emails": dict.fromkeys(["0ms", "20ms", "100ms"], SENT | {"sendgrid_cpu_s_per_1000"}),
    "webhooks": {"accept": SENT | PERCENTILES, "settle": SENT},
    "pages": dict.fromkeys(["catalog", "class", "account", "order", "order in parts", "cart"], PAGE)
    | {"checkout": THROUGHPUT | PERCENTILES | {"statements"}},
    "reminders": dict.fromkeys(["20", "20 again", "200", "200 again"], SENT | STATEMENTS),
    "charges": {
        "charge": SENT | {"workers", "threads", "statements", "requests", "stripe_cpu_s_per_1000"},
    },
}
COUNTS = {"emails": 20, "webhooks": 8, "pages": 2, "reminders": 20, "charges": 8}


@pytest.mark.processes
@pytest.mark.parametrize("name", EXPECTED)
def test_bench_says_its_figures(name, template):
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", name, "--count", str(COUNTS[name]), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert {case["case"]: case.keys() - {"bench", "case"} for case in cases} == EXPECTED[name]
    assert all(case["bench"] == name for case in cases)
    assert all(case.get("lost", 0) == case.get("twice", 0) == 0 for case in cases)
    assert all(case.get("queries", 0) <= 12 and case.get("is_constant", True) for case in cases)
