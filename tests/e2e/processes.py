"""The site and its queue cluster as processes of their own, on this worker's database and stand-ins.

`code` is the folder whose code they run.
"""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from demo.journey.system import WEB
from tests.conftest import ROOT
from tests.waiting import PATIENCE_S, wait_until

ENVIRONMENT = {"CHECKOUT_DECLINE_MAIL_DELAY_S": "15", "Q_WORKERS": "2"}


@contextmanager
def web(*, code: Path = ROOT) -> Iterator[str]:
    """gunicorn; returns the site's address once it answers."""
    address = f"http://127.0.0.1:{settings.SITE_PORT}"
    with _process(*WEB, "--bind", f"127.0.0.1:{settings.SITE_PORT}", code=code):
        _wait_for(f"{address}/healthz")
        yield address


@contextmanager
def cluster(*, code: Path = ROOT, **environment: str) -> Iterator[None]:
    """All workers, with those of what somebody waits for."""
    urgent = environment | {"Q_CLUSTER_NAME": "urgent"}
    with (
        _process("manage.py", "qcluster", code=code, **environment),
        _process("manage.py", "qcluster", code=code, **urgent),
    ):
        yield


def manage(*arguments: str, code: Path = ROOT) -> str:
    """Run a command to its end; returns what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command, cwd=code, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@contextmanager
def _process(*arguments: str, code: Path, **environment: str) -> Iterator[None]:
    """In a session of its own: a Ctrl-C must not reach the workers of the cluster."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=code,
        env=os.environ | ENVIRONMENT | environment,
        start_new_session=True,
    )
    try:
        yield
    finally:
        started.terminate()
        started.wait(PATIENCE_S)


def _wait_for(url: str) -> None:
    wait_until(lambda: _answers(url))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False
