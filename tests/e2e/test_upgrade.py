"""The drill of "Update" in docs/operations.md: the last release is at work while this code's migrations run,
and serves on the new schema until this code takes over."""

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from types import SimpleNamespace

import psycopg
import pytest

from billing.models import Installment, StripeEvent
from demo.standins.bank import charges_of
from demo.standins.mailbox import emails_to
from notifications.models import EmailMessage
from orders.models import Order
from tests.conftest import ROOT
from tests.e2e import processes
from tests.release import last_release, unpack
from tests.restored import other_database
from tests.waiting import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.processes, pytest.mark.xdist_group("upgrade")]

FAMILIES = ROOT / "tests" / "e2e" / "families_of_the_release.py"


@pytest.fixture(scope="module")
def release(django_db_setup, django_db_blocker, _stripe_server, _mail_server, tmp_path_factory):
    """The last release on a database of its own, at work since before this code's migrations ran there."""
    code = tmp_path_factory.mktemp("release")
    unpack(last_release(), code)
    _stripe_server.control("POST", "/_reset")
    _mail_server.reset()
    with (
        pytest.MonkeyPatch.context() as patch,
        django_db_blocker.unblock(),
        other_database(),
        ExitStack() as web,
        ExitStack() as cluster,
    ):
        patch.setenv("DJANGO_SETTINGS_MODULE", "csf.settings")  # those of the tests may have moved since
        patch.setenv("STRIPE_WEBHOOK_UUID", str(uuid.uuid4()))
        processes.manage("prepare", code=code)
        processes.manage("seed_demo", "--families", "1", code=code)
        processes.manage("create_webhook_endpoint", "--remote", code=code)
        site = web.enter_context(processes.web(code=code))
        cluster.enter_context(processes.cluster(code=code))
        processes.manage("prepare")
        addresses = [site, _stripe_server.url, _mail_server.url]
        yield SimpleNamespace(code=code, addresses=addresses, stop_web=web.close, stop_cluster=cluster.close)


@contextmanager
def families(release, act):
    command = [sys.executable, str(FAMILIES), act, *release.addresses]
    environment = os.environ | {"PYTHONPATH": str(release.code)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=release.code, env=environment, **pipes) as running:
        try:
            yield running
        finally:
            running.terminate()


def read(running):
    """The next line that they print."""
    line = running.stdout.readline()
    assert line, running.stderr.read()
    return json.loads(line)


@contextmanager
def column_without_default(table):
    """As a migration adds one whose default only the new code knows."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(f"ALTER TABLE {table} ADD COLUMN planted integer NOT NULL DEFAULT 0")
        owner.execute(f"ALTER TABLE {table} ALTER COLUMN planted DROP DEFAULT")
        yield
        owner.execute(f"ALTER TABLE {table} DROP COLUMN planted")


def test_the_release_would_fail_on_a_column_that_it_cannot_fill(release):
    with column_without_default("orders_order"), families(release, "order") as family:
        read(family)
        _, complaint = family.communicate("go on\n")

    assert family.returncode == 1
    assert "500 Server Error" in complaint


def test_the_release_serves_on_the_new_schema_and_this_code_takes_over(release):
    stripe, mail = release.addresses[1:]
    with families(release, "journey") as all_of_them:
        said, complaint = all_of_them.communicate()
    assert all_of_them.returncode == 0, said + complaint

    with families(release, "order") as family:
        address = read(family)
        release.stop_cluster()
        family.stdin.write("go on\n")
        family.stdin.flush()
        due_on = date.fromisoformat(read(family))
    order = Order.objects.get(household__guardians__email=address)
    wait_until(lambda: StripeEvent.objects.filter(type="payment_intent.succeeded", status="received"))
    release.stop_web()
    assert (order.status, told(mail, address)) == ("placed", {"account_confirm_email": 1, "welcome": 1})
    assert EmailMessage.objects.get(kind="order_confirmation", to=address).status == "queued"

    with processes.web(), processes.cluster():
        processes.manage("create_webhook_endpoint", "--remote")
        wait_until(lambda: Order.objects.filter(pk=order.pk, status="confirmed"))
        charge_second_part(due_on)
        wait_until(lambda: Installment.objects.filter(order=order, number=2, status="paid"))
        wait_until(lambda: told(mail, address)["payment_success"] == 2)
        wait_until(lambda: not EmailMessage.objects.filter(status="queued", to=address))
    assert told(mail, address) == {
        "account_confirm_email": 1,
        "welcome": 1,
        "order_confirmation": 1,
        "enrollment_confirmation": 1,
        "payment_success": 2,
    }
    paid = [part.amount_cents for part in order.installments.order_by("number")]
    assert [row["amount_cents"] for row in charges_of(stripe, address) if row["succeeded"]] == paid
    processes.manage("check_invariants")


def told(mail, address):
    return Counter(email["kind"] for email in emails_to(mail, address))


def charge_second_part(due_on):
    """On the first day from then on for which the journey has not run the job: it runs once for each."""
    days = (due_on + timedelta(days=number) for number in range(30))
    jobs = (processes.manage("charge_due_installments", "--date", day.isoformat()) for day in days)
    assert any(not answer.strip().endswith("nothing to do") for answer in jobs)
