"""Through a real PgBouncer in transaction mode: the whole journey, and a refusal without the setting."""

import os
import pwd
import shutil
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command

from billing.models import Payment
from billing.stripe.webhook_endpoint import register_endpoint
from demo.journey.family import World
from demo.journey.journey import Journey
from notifications.models import Alert, EmailAttempt, EmailMessage
from tests.conftest import ROOT
from tests.e2e import processes
from tests.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.drill, pytest.mark.processes]

CONFIG = """
[databases]
* = {server} user=postgres
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
default_pool_size = 40
max_client_conn = 200
"""


@pytest.fixture
def pool(committed_db, tmp_path, monkeypatch):
    """PgBouncer before this test's database; what a test starts goes through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.fail("no pgbouncer here") if os.environ.get("CI") else pytest.skip("no pgbouncer here")
    address = urlsplit(os.environ["DATABASE_URL"])
    host = unquote(address.netloc.rpartition("@")[2])
    port = settings.SITE_PORT + 3
    config = tmp_path / "pgbouncer.ini"
    config.write_text(CONFIG.format(server=f"host={host}", port=port))
    command = [program, str(config)]
    if os.getuid() == 0:  # PgBouncer does not run as root
        command[1:1] = ["-u", pwd.getpwuid(os.stat(host).st_uid).pw_name]
        for folder in (config, *tmp_path.parents[:2], tmp_path):
            folder.chmod(0o755)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://csf@127.0.0.1:{port}{address.path}")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(_answers)
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE_S)


def _answers():
    try:
        psycopg.connect(os.environ["DATABASE_URL"]).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def told(monkeypatch):
    """The ids that the alert webhook was told."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/")
        yield got
        server.shutdown()
        thread.join()


def test_the_whole_journey_goes_through_it(pool, told, stripe_server, mail_server, monkeypatch):
    monkeypatch.setenv("PGBOUNCER", "true")
    call_command("seed_demo", families=1)
    call_command("sync_schedules")
    register_endpoint(identity=uuid.uuid4(), remote=True)
    with processes.web() as site, processes.cluster():
        world = World(site, stripe_server.url, mail_server.url, manage=processes.manage)
        complete = Journey(world).run()
    Alert.objects.create(name="queue", level="page", text="planted")
    subprocess.run([sys.executable, "manage.py", "cluster_health", "--alert"], cwd=ROOT, check=False)

    assert complete
    charges = [charge["amount_cents"] for charge in stripe_server.books()["charges"] if charge["succeeded"]]
    assert sorted(charges) == sorted(Payment.objects.values_list("amount_cents", flat=True))
    sent = EmailMessage.objects.filter(status="sent").count()
    assert sent == EmailAttempt.objects.count() == len(mail_server.requests())
    assert any(b"planted" in message for message in told)


def test_without_the_setting_nothing_starts(pool, monkeypatch):
    monkeypatch.setenv("DB_LOCK_TIMEOUT_MS", "3000")
    for command in (["manage.py", "check"], ["-c", "import csf.wsgi"]):
        refused = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode != 0
        assert "DATABASE_URL points to PgBouncer or another pool: set PGBOUNCER=true." in refused.stderr
