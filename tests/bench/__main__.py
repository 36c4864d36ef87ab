"""`bin/bench`: run one benchmark on a database of its own and print a line for each case."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import django

from tests.bench.measure import Case
from tests.bench.surroundings import set_environment

BENCHES = {
    "emails": "tests.bench.emails",
    "webhooks": "tests.bench.webhooks",
    "pages": "tests.bench.pages",
    "reminders": "tests.bench.reminders",
    "charges": "tests.bench.charges",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--count", type=int, help="how many emails, events, requests, reminders or charges")
    parser.add_argument("--json", action="store_true", help="one JSON object per line for each case")
    options = parser.parse_args()
    set_environment()
    django.setup()
    bench = importlib.import_module(BENCHES[options.name])
    load_before = os.getloadavg()[0]
    with _nothing_else_on_stdout():
        cases = list(bench.run(options.count or bench.COUNT))
    load = f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    words = "\n".join(map(json.dumps, cases)) if options.json else f"{_table(cases)}\n{load}"
    sys.stdout.write(f"{words}\n")
    return 1 if any(case.get("lost") or case.get("twice") for case in cases) else 0


@contextmanager
def _nothing_else_on_stdout() -> Iterator[None]:
    """Migrations and other processes talk too, and their words go to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _table(cases: Iterable[Case]) -> str:
    names = list(dict.fromkeys(name for case in cases for name in case if name != "bench"))
    rows = [names] + [["" if case.get(name) is None else str(case[name]) for name in names] for case in cases]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
