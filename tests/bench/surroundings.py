"""What a benchmark runs in: the environment, a fresh database, and the other processes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from demo.embedded import create_database, drop_database
from demo.journey.system import WEB

ROOT = Path(__file__).resolve().parent.parent.parent
# The smoke tests of two workers share a server.
DATABASE = "csf_bench" + os.environ.get("PYTEST_XDIST_WORKER", "").replace("gw", "_gw")
WEBHOOK_SECRET = "whsec_" + "b" * 32
START_S = 60.0


def set_environment() -> None:
    """As the demo sets it, before Django loads: dj-stripe reads Stripe's address only once."""
    address = os.environ["DATABASE_URL"].rsplit("/", 1)[0]
    site, stripe, mail = _free_ports(3)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="csf.settings",
        CSF_MODE="test",
        DATABASE_URL=f"{address}/{DATABASE}",
        SECRET_KEY="only-for-benchmarks-" + "x" * 40,
        FIELD_KEYS="",
        SITE_URL=f"http://127.0.0.1:{site}",
        STRIPE_API_HOST=f"http://127.0.0.1:{stripe}",
        STRIPE_TEST_SECRET_KEY="sk_test_" + "1" * 24,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
        SENDGRID_API_URL=f"http://127.0.0.1:{mail}/v3/",
        SENDGRID_API_KEY="SG.benchmarks",
        SCHOOL_TIME_ZONE="America/New_York",
        Q_WORKERS="2",
        LOG_LEVEL="WARNING",
    )


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def port_of(name: str) -> int:
    """Of SITE_URL, STRIPE_API_HOST or SENDGRID_API_URL."""
    return int(os.environ[name].rsplit(":", 1)[1].partition("/")[0])


@contextmanager
def fresh_database() -> Iterator[None]:
    """A clone of the migrated template that the tests use too; it is gone afterwards."""
    from django.db import connections

    from tests.conftest import ADDRESS, _template

    template = _template()
    drop_database(ADDRESS, DATABASE)
    create_database(ADDRESS, DATABASE, template=template)
    try:
        yield
    finally:
        connections.close_all()
        drop_database(ADDRESS, DATABASE)


@contextmanager
def web() -> Iterator[int]:
    """gunicorn with 2 workers; returns its pid once it answers."""
    with process("web", *WEB, "--bind", f"127.0.0.1:{port_of('SITE_URL')}") as pid:
        _wait_for(f"{os.environ['SITE_URL']}/healthz")
        yield pid


@contextmanager
def cluster() -> Iterator[int]:
    """The queue's cluster; returns its pid once a task came through, so starting it is not measured."""
    from csf.models import Cluster
    from tests.bench.measure import wait_until

    with process("cluster", "manage.py", "qcluster") as pid:
        wait_until(Cluster.objects.filter(pid=pid, canary_at__isnull=False).exists, patience_s=START_S)
        time.sleep(0.5)  # its last words about that task
        yield pid


@contextmanager
def stripe_stand_in() -> Iterator[int]:
    with process("stripe", "-m", "tests.bench.stand_in", "stripe", str(port_of("STRIPE_API_HOST"))) as pid:
        _wait_for(f"{os.environ['STRIPE_API_HOST']}/_books")
        yield pid


@contextmanager
def process(name: str, *arguments: str) -> Iterator[int]:
    """Run until the block ends, in a session of its own: Ctrl-C must not reach the workers of the cluster."""
    with (ROOT / ".data" / f"{DATABASE}-{name}.log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield started.pid
        finally:
            children = psutil.Process(started.pid).children(recursive=True)
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
            psutil.wait_procs(children, timeout=5)  # their connections would hold the database


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
