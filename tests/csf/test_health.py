"""`/readyz` and `manage.py cluster_health`: ready, or what is wrong in words."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.management import CommandError, ManagementUtility, call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from csf.models import Canary, Instance

MINUTE = timedelta(minutes=1)
FIT = settings.Q_CLUSTER["workers"] + settings.Q_CLUSTER["queue_limit"] + settings.Q_CLUSTER["bulk"]


def canary(age):
    Canary.sing()
    Canary.objects.update(sang_at=Now() - age)


def tasks(count, *, lock):
    OrmQ.objects.bulk_create(OrmQ(key="csf", payload="x", lock=timezone.now() + lock) for _ in range(count))


def all_well():
    """Nearly too old, nearly too many: everything is still in time."""
    canary(2 * MINUTE)
    tasks(1, lock=-MINUTE)
    tasks(FIT, lock=3 * MINUTE)


@pytest.mark.django_db
def test_ready_when_the_canary_is_young_and_nothing_is_late(client, capsys):
    all_well()

    answer = client.get("/readyz")
    call_command("cluster_health")

    assert (answer.status_code, answer.content) == (200, b"ready\n")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert capsys.readouterr().out == "healthy\n"


PROBLEMS = {
    "no scheduled task has run for 0:03:00: is a cluster running?": lambda: canary(4 * MINUTE),
    "1 queued tasks wait for more than 0:02:00": lambda: tasks(1, lock=-3 * MINUTE),
    f"{FIT + 1} tasks are taken but {FIT} fit: restart the cluster, it loses results": lambda: tasks(
        1, lock=3 * MINUTE
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_problem_is_said_in_words_to_the_office_and_hidden_from_strangers(client, caplog, problem):
    all_well()
    PROBLEMS[problem]()

    answer = client.get("/readyz")
    with pytest.raises(CommandError) as failure:
        call_command("cluster_health")

    assert (answer.status_code, answer.content) == (503, b"not ready\n")
    assert str(failure.value) == problem
    assert failure.value.returncode == 3  # which the watchdog answers with a restart
    assert [record.getMessage() for record in caplog.records if record.name == "notifications.views"] == [
        f"not ready: {problem}"
    ]


@pytest.mark.django_db
def test_all_problems_are_told_at_once():
    all_well()
    for make in PROBLEMS.values():
        make()

    with pytest.raises(CommandError) as failure:
        call_command("cluster_health")

    assert str(failure.value).splitlines() == list(PROBLEMS)


@pytest.mark.django_db
def test_no_canary_at_all_is_not_ready_and_two_clusters_may_hold_twice_as_much(client):
    assert client.get("/readyz").status_code == 503
    canary(MINUTE)
    tasks(2 * FIT, lock=3 * MINUTE)

    assert client.get("/readyz").status_code == 503
    call_command("cluster_health", "--clusters", "2")


@pytest.mark.django_db
def test_what_a_restart_does_not_mend_has_another_exit_code():
    all_well()
    Instance.quarantine()

    with pytest.raises(CommandError, match="nothing is sent or charged") as failure:
        call_command("cluster_health")

    assert failure.value.returncode == 1


def test_the_command_ends_with_a_code_and_its_reasons(committed_db, capsys):
    utility = ManagementUtility(["manage.py", "cluster_health"])

    with pytest.raises(SystemExit) as ended:
        utility.execute()
    assert ended.value.code == 3
    assert capsys.readouterr().err == (
        "CommandError: no scheduled task has run for 0:03:00: is a cluster running?\n"
    )

    Canary.sing()
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
    Canary.sing()

    with CaptureQueriesContext(connection) as alive:
        answers = [client.get("/healthz")]
    with CaptureQueriesContext(connection) as ready:
        answers.append(client.get("/readyz"))

    assert len(alive) == 0
    assert len(ready) <= 10
    assert {query["sql"].split()[0] for query in ready} == {"SELECT"}
    assert [(answer.status_code, dict(answer.cookies)) for answer in answers] == [(200, {})] * 2
