"""`bin/season`: simulate a school's season on a moved clock, then prove that everything adds up."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import psycopg

from demo import embedded
from demo.journey.system import DATA, ROOT, environment_of_demo
from demo.standins.ports import reserve

DATABASE = "csf_season"
CODE = ["*/*migrations/*.py", "*/models*.py", "*/models/*.py", "requirements.txt"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/season", description=__doc__)
    parser.add_argument("--families", type=int, default=40)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", action="store_true", help="lose webhooks, answers and workers on the way")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--server", help="the address of a PostgreSQL server, instead of the demo's own")
    options = parser.parse_args()
    with ExitStack() as stack:
        own = DATA / "season"  # thrown away, so it need not be durable
        address = options.server or stack.enter_context(embedded.running(own, durable=False))
        embedded.drop_database(address, DATABASE)
        site, stripe, mail = reserve(stack, [8100, 8101, 8102])
        os.environ.update(environment_of_demo(address, site, stripe, mail))
        os.environ["LOG_LEVEL"] = "WARNING"
        os.environ["STRIPE_WEBHOOK_SECRET"] = "whsec_season"  # noqa: S105 - opens nothing
        os.environ["DJANGO_SETTINGS_MODULE"] = "csf.settings"
        embedded.create_database(address, DATABASE, template=_prepared(address))
        os.environ["DATABASE_URL"] = f"{address}/{DATABASE}"
        import django

        django.setup()
        from demo.season.run import run

        began = time.monotonic()
        result = run(
            options.families,
            options.weeks,
            options.seed,
            has_faults=options.faults,
            show=not options.json,
        )
    if options.json:
        print(json.dumps(result.as_json()))
    else:
        print(f"\rSeed {options.seed}, {options.weeks} weeks, simulated in {time.monotonic() - began:.0f} s")
        print("\n".join(result.lines()))
    return 1 if result.differences else 0


def _prepared(address: str) -> str:
    """The name of an empty database that this code has prepared, made once."""
    code = sorted(path for pattern in CODE for path in ROOT.glob(pattern))
    name = "empty_" + hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:10]
    unfinished = f"{name}_unfinished"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            embedded.drop_database(address, unfinished)
            embedded.create_database(address, unfinished)
            environment = os.environ | {"DATABASE_URL": f"{address}/{unfinished}"}
            command = [sys.executable, "manage.py", "prepare"]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
            connection.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


if __name__ == "__main__":
    sys.exit(main())
