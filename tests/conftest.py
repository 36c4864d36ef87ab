"""Databases and stand-ins of the tests.

Migrations run once into a template database; each worker clones it, and so does each test that really
commits.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from billing.stripe import breaker
from csf import clock
from demo.embedded import create_database, drop_database
from demo.standins.sendgrid.serve import MailServer
from demo.standins.stripe.serve import StripeServer
from tests import lock_order, strict_templates

# How fast the machine is decides nothing. All else stays as Hypothesis has it, so CI always tries the same.
# Fixtures are shared by all examples of a test, each of which removes what the one before it has left.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = os.environ.get("DATABASE_URL", "").rsplit("/", 1)[0]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
DATABASE = f"csf_test_{WORKER}"
TRIGGERS = [
    "csf/database/append_only.py",
    "csf/state.py",
    "enrollments/classes/seat_guard.py",
    "enrollments/accounts/address_guard.py",
]  # installed after each migrate


def _template() -> str:
    """The name of a database with all migrations, made at the first use of this set of migrations."""
    patterns = ["*/*migrations/*.py", "*/models*.py", "*/models/*.py", *TRIGGERS, "requirements-dev.txt"]
    files = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    name = "csf_template_" + hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:10]
    with (ROOT / ".data" / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with psycopg.connect(f"{ADDRESS}/postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return name
        unfinished = f"{name}_unfinished"
        drop_database(ADDRESS, unfinished)
        create_database(ADDRESS, unfinished)
        environment = os.environ | {
            "DATABASE_URL": f"{ADDRESS}/{unfinished}",
            "DJANGO_SETTINGS_MODULE": "csf.settings",
        }
        for command in (["migrate"], ["createcachetable"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
        with psycopg.connect(f"{ADDRESS}/postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


def _clone(template: str) -> None:
    connections.close_all()
    drop_database(ADDRESS, DATABASE)
    create_database(ADDRESS, DATABASE, template=template)


@pytest.fixture(scope="session")
def template() -> str:
    return _template()


@pytest.fixture(scope="session")
def django_db_setup(template: str, django_db_blocker) -> Iterator[None]:
    os.environ["DATABASE_URL"] = f"{ADDRESS}/{DATABASE}"  # for the processes that tests start
    settings.DATABASES["default"]["NAME"] = DATABASE
    connections["default"].settings_dict["NAME"] = DATABASE
    with django_db_blocker.unblock():
        _clone(template)
        yield
        connections.close_all()
        drop_database(ADDRESS, DATABASE)


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker, template: str) -> Iterator[None]:
    """A database of this test's own in which everything really commits, for threads and other processes."""
    with django_db_blocker.unblock():
        yield
        _clone(template)


@pytest.fixture(autouse=True)
def _no_breaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However often the stand-in gives no answer, the next call asks it again."""
    monkeypatch.setattr(breaker, "OPEN_AFTER", 1_000_000)
    yield
    breaker.close()


@pytest.fixture(scope="session")
def _stripe_server() -> Iterator[StripeServer]:
    with StripeServer(port=settings.STRIPE_PORT) as server:
        yield server


@pytest.fixture
def stripe_server(_stripe_server: StripeServer) -> StripeServer:
    """The Stripe stand-in of this worker, empty."""
    _stripe_server.control("POST", "/_reset")
    return _stripe_server


@pytest.fixture(scope="session")
def _mail_server() -> Iterator[MailServer]:
    with MailServer(port=settings.MAIL_PORT) as server:
        yield server


@pytest.fixture
def mail_server(_mail_server: MailServer) -> MailServer:
    """The SendGrid stand-in of this worker, empty."""
    _mail_server.reset()
    return _mail_server


@pytest.fixture(autouse=True)
def _locks_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lock_order.watch(monkeypatch)


@pytest.fixture(autouse=True)
def _templates_ask_for_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    strict_templates.watch(monkeypatch)


@pytest.fixture(autouse=True)
def _clocks_move_together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that travels in time takes the database's clock with it, unless it is about their difference."""
    if "clocks_differ" not in request.keywords:
        monkeypatch.setattr(clock, "now", lambda: timezone.now())
