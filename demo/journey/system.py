"""The whole system as processes of this machine: PostgreSQL, the stand-ins, the site and its workers."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from demo import embedded
from demo.journey.family import World
from demo.standins.ports import reserve
from demo.standins.sendgrid.events import new_keypair

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / ".data"
LAST = DATA / "demo.json"  # the ports of the last demo, for bin/manage
PATIENCE_S = 60
WEB = [
    *"-m gunicorn csf.wsgi --worker-class gthread --workers 2 --threads 4 --no-control-socket".split(),
    *"--env DB_LOCK_TIMEOUT_MS=3000".split(),
]


@contextmanager
def running(*, fresh: bool) -> Iterator[World]:
    """Start everything, print how long each step takes, and stop it when the block ends.

    `fresh` forgets the data of earlier demos.
    """
    with ExitStack() as processes:
        with _step("PostgreSQL"):
            address = processes.enter_context(embedded.running(DATA / "postgres"))
            if fresh:
                embedded.drop_database(address, "csf")
            embedded.create_database(address, "csf")
        site, stripe, mail = reserve(processes, [8000, 8001, 8002])
        environment = environment_of_demo(address, site, stripe, mail)
        LAST.write_text(json.dumps({"site": site, "stripe": stripe, "mail": mail}))
        with _step("database, demo data, static files (half a minute the first time)"):
            _manage(environment, "prepare")
            _manage(environment, "seed_demo")
        with _step("Stripe and SendGrid stand-ins"):
            arguments = _standins(site, stripe, mail, fresh=fresh)
            standins = processes.enter_context(_process("standins", environment, *arguments))
            _wait_for(f"http://127.0.0.1:{stripe}/_books", standins)
            _manage(environment, "create_webhook_endpoint", "--remote")
        with _step("site and workers"):
            web = processes.enter_context(_process("web", environment, *WEB, "--bind", f"127.0.0.1:{site}"))
            processes.enter_context(_process("worker", environment, "manage.py", "qcluster"))
            urgent = environment | {"Q_CLUSTER_NAME": "urgent"}
            processes.enter_context(_process("urgent", urgent, "manage.py", "qcluster"))
            _wait_for(f"http://127.0.0.1:{site}/healthz", web)
        yield World(
            site=f"http://127.0.0.1:{site}",
            stripe=f"http://127.0.0.1:{stripe}",
            mail=f"http://127.0.0.1:{mail}",
            manage=partial(_manage, environment),
        )


def _standins(site: int, stripe: int, mail: int, *, fresh: bool) -> list[str]:
    events = f"http://127.0.0.1:{site}/anymail/sendgrid/tracking/"
    arguments = ["--stripe-port", str(stripe), "--mail-port", str(mail), "--data", str(DATA / "standins")]
    arguments += ["--events", events, "--event-key", str(_event_key())]
    return ["-m", "demo.standins", *arguments, *(["--fresh"] if fresh else [])]


@contextmanager
def _step(name: str) -> Iterator[None]:
    print(f"  {name} ... ", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def environment_of_demo(address: str, site: int, stripe: int, mail: int) -> dict[str, str]:
    kept = _secrets()
    return embedded.environment(address) | {
        "CSF_MODE": "demo",
        "SECRET_KEY": kept["secret_key"],
        "SITE_URL": f"http://127.0.0.1:{site}",
        "STRIPE_API_HOST": f"http://127.0.0.1:{stripe}",
        "STRIPE_TEST_SECRET_KEY": kept["stripe_key"],
        "STRIPE_WEBHOOK_UUID": kept["webhook_uuid"],
        "SENDGRID_API_URL": f"http://127.0.0.1:{mail}/v3/",
        "SENDGRID_API_KEY": kept["sendgrid_key"],
        "SENDGRID_WEBHOOK_PUBLIC_KEY": kept["event_public_key"],
        "SCHOOL_TIME_ZONE": os.environ.get("SCHOOL_TIME_ZONE", "America/New_York"),
        "CHECKOUT_DECLINE_MAIL_DELAY_S": "15",  # on a busy machine, paying at once takes some seconds
        "FIELD_KEYS": kept["field_keys"],
        "Q_WORKERS": "3",
        "PYTHONUNBUFFERED": "1",
    }


def _secrets() -> dict[str, str]:
    """Created once for this folder; they work with nothing but the stand-ins."""
    path = DATA / "secrets.json"
    private, public = new_keypair()
    made = {
        "secret_key": secrets.token_urlsafe(50),
        "stripe_key": "sk_test_" + secrets.token_hex(16),
        "sendgrid_key": "SG." + secrets.token_urlsafe(24),
        "webhook_uuid": str(uuid.uuid4()),
        "field_keys": "demo:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "event_private_key": private,
        "event_public_key": public,
    }
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    path.touch(mode=0o600)
    path.write_text(json.dumps(made | kept, indent=1))
    return made | kept


def _event_key() -> Path:
    """The file with the key that signs the SendGrid stand-in's events."""
    path = DATA / "event_key.pem"
    path.touch(mode=0o600)
    path.write_text(_secrets()["event_private_key"])
    return path


def _manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a manage.py command and return its output."""
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"\nmanage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def _process(name: str, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run until the block ends. In a session of its own: Ctrl-C must not reach the workers of the cluster,
    which hang if all of them are stopped at once."""
    log_path = DATA / f"{name}.log"
    with log_path.open("w") as log:
        started = subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers; a foreign server at the same address does not count."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if server.poll() is not None:
            raise SystemExit(f"\nThe server of {url} ended while starting; see the logs in {DATA}.")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"\n{url} does not answer ({error}); see the logs in {DATA}.") from error
            time.sleep(0.1)
