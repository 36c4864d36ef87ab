"""`/readyz` and `manage.py cluster_health`: ready, or what is wrong in words."""

import os
import socket
from datetime import timedelta

import pytest
from django.core.management import CommandError, ManagementUtility, call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Schedule

from csf.models import Cluster, Instance
from csf.templatetags.csf_format import until
from tests.factories import create_cluster

HERE = {"host": socket.gethostname()[:50], "pid": os.getpid()}
NOBODY = 2**22 + 1  # more than any process has
NO_CLUSTER = "no cluster of workers is running"
LATE = "no schedule has started for 0:03:00: sweep_emails"


def health():
    """The exit code and the reasons."""
    try:
        call_command("cluster_health")
    except CommandError as error:
        return error.returncode, str(error).splitlines()
    return 0, []


def schedule(**fields):
    late = timezone.now() - timedelta(minutes=4)
    Schedule.objects.create(
        **{"name": "csf:sweep_emails", "func": "x", "next_run": late, "repeats": -1} | fields
    )


@pytest.mark.django_db
def test_ready_while_each_cluster_lives_and_none_is_missed_that_said_goodbye(client, capsys):
    create_cluster("first", seen=80, canary=170)
    create_cluster("second", started_at=timezone.now(), canary_at=None)
    create_cluster("third", seen=600, stopped_at=timezone.now())
    schedule(repeats=0)

    answer = client.get("/readyz")
    call_command("cluster_health")

    assert (answer.status_code, answer.content) == (200, b"ready\n")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert capsys.readouterr().out == "healthy\n"


SILENT, STUCK = {"seen": 100}, {"canary": 190}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "where", "code"),
    [
        pytest.param(STUCK, HERE, 3, id="stuck here"),
        pytest.param(STUCK, {}, 1, id="stuck elsewhere"),
        pytest.param(SILENT, HERE, 3, id="its main process hangs"),
        pytest.param(SILENT, {**HERE, "pid": NOBODY}, 1, id="killed: who started it starts it again"),
        pytest.param(SILENT, {}, 1, id="killed elsewhere"),
    ],
)
def test_a_dead_cluster_is_named_and_restarted_only_where_that_helps(client, state, where, code):
    first = create_cluster("first", **state, **where)
    says = (
        f"cluster first has not responded since {until(first.seen_at)}"
        if state is SILENT
        else f"cluster first runs, but no task has come through it since {until(first.canary_at)}"
    ).replace("\u00a0", " ")

    assert health() == (code, [says])
    assert client.get("/readyz").status_code == 503

    create_cluster("second")
    assert health() == (code, [says])
    assert client.get("/readyz").status_code == 200  # the other one does the work


@pytest.mark.django_db
def test_all_problems_are_told_at_once_to_the_office_and_hidden_from_strangers(client, caplog):
    Instance.quarantine()
    create_cluster(stopped_at=timezone.now())
    schedule()

    answer = client.get("/readyz")
    code, reasons = health()

    assert (answer.status_code, answer.content) == (503, b"not ready\n")
    assert (code, reasons[1:]) == (1, [NO_CLUSTER, LATE])
    assert reasons[0].startswith("nothing is sent or charged: in quarantine since")
    logged = [record.getMessage() for record in caplog.records if record.name == "notifications.views"]
    assert logged == [f"not ready: {reason}" for reason in reasons]


@pytest.mark.django_db
def test_pages_are_ready_without_the_worker_for_urgent_emails_but_it_is_missed(client):
    create_cluster()
    schedule(name="csf:send_awaited_emails")

    assert health() == (1, ["no urgent worker is running, so sign-in codes and receipts may be late"])
    assert client.get("/readyz").status_code == 200

    Cluster.objects.update(queue="urgent")
    code, reasons = health()
    assert (code, reasons[0]) == (3, NO_CLUSTER)
    assert client.get("/readyz").status_code == 503


@pytest.mark.django_db
@pytest.mark.parametrize("make", [Instance.quarantine, schedule])
def test_what_a_restart_does_not_mend_has_another_exit_code(make):
    create_cluster()
    make()

    assert health()[0] == 1


def test_the_command_ends_with_a_code_and_its_reasons(committed_db, capsys):
    utility = ManagementUtility(["manage.py", "cluster_health"])

    with pytest.raises(SystemExit) as ended:
        utility.execute()
    assert ended.value.code == 3
    assert capsys.readouterr().err == f"CommandError: {NO_CLUSTER}\n"

    create_cluster()
    utility.execute()
    assert capsys.readouterr().out == "healthy\n"


@pytest.mark.django_db
def test_without_a_database_healthz_answers_and_readyz_is_not_ready(client, caplog):
    def away(execute, sql, params, many, context):
        raise OperationalError("connection to server failed: password=hunter2")

    with connection.execute_wrapper(away):
        alive, ready = client.get("/healthz"), client.get("/readyz")

    assert (alive.status_code, alive.content) == (200, b"ok\n")
    assert (ready.status_code, ready.content) == (503, b"not ready\n")
    assert "the database does not answer" in caplog.text


@pytest.mark.django_db
def test_a_probe_costs_no_query_or_a_handful_and_gets_no_cookie(client):
    create_cluster()

    with CaptureQueriesContext(connection) as alive:
        answers = [client.get("/healthz")]
    with CaptureQueriesContext(connection) as ready:
        answers.append(client.get("/readyz"))

    assert len(alive) == 0
    assert len(ready) <= 10
    assert {query["sql"].split()[0] for query in ready} == {"SELECT"}
    assert [(answer.status_code, dict(answer.cookies)) for answer in answers] == [(200, {})] * 2
    assert Cluster.objects.count() == 1
