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

from billing.models import StripeEvent, StripeEventStatus
from csf.models import Canary
from notifications.models import EmailMessage
from tests.factories import create_guardian, create_household

MINUTE = timedelta(minutes=1)
FIT = settings.Q_CLUSTER["workers"] + settings.Q_CLUSTER["queue_limit"] + settings.Q_CLUSTER["bulk"]


def canary(age):
    Canary.sing()
    Canary.objects.update(sang_at=Now() - age)


def tasks(count, *, lock):
    OrmQ.objects.bulk_create(OrmQ(key="csf", payload="x", lock=timezone.now() + lock) for _ in range(count))


def email(age, **fields):
    guardian = create_guardian(household=create_household())
    EmailMessage.objects.create(
        kind="welcome",
        recipient=guardian,
        to=guardian.email,
        fact_id=1,
        dedupe_key=f"welcome:{guardian.pk}",
        context={},
        next_attempt_at=Now() - age,
        **fields,
    )


def event(age, status=StripeEventStatus.RECEIVED):
    StripeEvent.objects.create(
        stripe_id=f"evt_{StripeEvent.objects.count()}",
        type="checkout.session.completed",
        livemode=False,
        body="{}",
        status=status,
        received_at=Now() - age,
    )


def all_well():
    """Nearly too old, nearly too many: everything is still in time."""
    canary(2 * MINUTE)
    tasks(1, lock=-MINUTE)
    tasks(FIT, lock=3 * MINUTE)
    email(4 * MINUTE)
    email(60 * MINUTE, status="sent")
    event(14 * MINUTE)
    event(60 * MINUTE, StripeEventStatus.PROCESSED)
    event(60 * MINUTE, StripeEventStatus.IGNORED)


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
    "1 emails are overdue by more than 0:05:00": lambda: email(6 * MINUTE),
    "1 Stripe events are parked": lambda: event(0 * MINUTE, StripeEventStatus.PARKED),
    "1 Stripe events wait for more than 0:15:00": lambda: event(16 * MINUTE),
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
    assert failure.value.returncode == 1
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


def test_the_command_ends_with_a_code_and_its_reasons(committed_db, capsys):
    utility = ManagementUtility(["manage.py", "cluster_health"])

    with pytest.raises(SystemExit) as ended:
        utility.execute()
    assert ended.value.code == 1
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
