"""Real clusters: at work, stopped, and killed in every way. Each that is not well is seen, by name."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import psutil
import pytest
from django.conf import settings

from csf.jobs.schedules import sync_schedules
from csf.models import Cluster, Instance
from notifications.alerts.health import cluster_problems, why_not_ready
from notifications.alerts.rules import symptoms
from notifications.models import EmailMessage
from tests.conftest import ROOT
from tests.factories import create_order
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.drill

ORDERS = 200
ORDERS_PER_S = 5
SEEN_WITHIN_S = 180


@contextmanager
def cluster(**settings):
    """Gives its row and its main process once its canary came back."""
    environment = os.environ | {"Q_WORKERS": "2"} | settings
    command = [sys.executable, "manage.py", "qcluster"]
    main = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        wait_until(Cluster.objects.filter(pid=main.pid, canary_at__isnull=False).exists)
        yield Cluster.objects.get(pid=main.pid), main
    finally:
        if Cluster.objects.well().filter(pid=main.pid).exists():  # one that is stuck does not hear it
            main.terminate()
            main.wait(PATIENCE_S)
        kill_group(main.pid)
        main.wait()


def kill_group(pid):
    """All processes of a cluster at once, as when its host goes down."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def problems():
    """Names of the clusters that are not well."""
    return [problem.cluster for problem in cluster_problems()]


def test_two_clusters_at_work_are_no_alarm_and_the_one_that_is_killed_is_named(committed_db, mail_server):
    Instance.begin()
    sync_schedules()
    looks = []
    with cluster() as (first, _), cluster() as (second, main), cluster(Q_CLUSTER_NAME="urgent"):
        began = time.monotonic()
        for number in range(ORDERS):
            create_order()
            looks += [(why_not_ready(), [sign.name for sign in symptoms()])] if number % 5 == 0 else []
            time.sleep(max(0.0, began + (number + 1) / ORDERS_PER_S - time.monotonic()))
        wait_until(lambda: EmailMessage.objects.filter(status="sent").count() >= ORDERS)

        assert looks == [([], [])] * (ORDERS // 5)

        kill_group(main.pid)
        killed = time.monotonic()
        wait_until(lambda: problems() == [second.name], patience_s=SEEN_WITHIN_S)
        took_s = time.monotonic() - killed
        # Another test's stand-in for Stripe may know events that no webhook brought to this database.
        seen = [(sign.name, sign.about) for sign in symptoms() if sign.name != "webhook_silent"]
        assert seen == [("cluster", second.name)]
        assert why_not_ready() == []  # the first one goes on
        with cluster() as (third, _):  # in its place
            assert third.name == second.name
            assert problems() == []
        assert problems() == []  # it was stopped in an orderly way

    assert took_s < SEEN_WITHIN_S
    stopped = Cluster.objects.for_all_work().exclude(stopped_at=None)
    assert [row.name for row in stopped] == [first.name, second.name]
    assert [problem.text for problem in cluster_problems()] == ["no cluster of workers is running"]


def processes(main):
    """By what they do, in the order in which Django-Q2 starts them."""
    (sentinel,) = psutil.Process(main.pid).children()
    children = sorted(sentinel.children(), key=lambda child: child.create_time())
    workers = children[: len(children) - 2]
    return {
        "workers": workers,
        "monitor": [children[-2]],
        "pusher": [children[-1]],
        "sentinel": [sentinel],
        "main": [psutil.Process(main.pid)],
    }


def test_whichever_process_is_killed_health_says_what_becomes_of_the_cluster(committed_db, monkeypatch):
    for limit in ("SILENT_AFTER", "STUCK_AFTER"):
        monkeypatch.setattr(Cluster, limit, timedelta(seconds=60))
    becomes = {
        "workers": "stuck",  # idle ones, one of which holds the lock of the queue
        "monitor": "stuck",
        "pusher": "well",  # a new one takes its place
        "sentinel": "silent",
        "main": "silent",
    }
    with ExitStack() as running:
        clusters = {victim: running.enter_context(cluster()) for victim in becomes}
        heard = {row.name: Cluster.objects.get(pk=row.pk).canary_at for row, _ in clusters.values()}
        for victim, (_, main) in clusters.items():
            for process in processes(main)[victim]:
                process.kill()
        expected = {clusters[victim][0].name: state for victim, state in becomes.items()}
        wait_until(lambda: states() == expected)

        assert problems() == [
            name for state in ("silent", "stuck") for name in expected if expected[name] == state
        ]
        pushed, _ = clusters["pusher"]
        wait_until(lambda: Cluster.objects.get(pk=pushed.pk).canary_at > heard[pushed.name])
        assert clusters["sentinel"][1].wait(PATIENCE_S) == 1


def states():
    return {
        row.name: state for state in ("silent", "stuck", "well") for row in getattr(Cluster.objects, state)()
    }


def test_the_queue_of_a_cluster_is_left_empty_when_it_stops(committed_db):
    from django_q.models import OrmQ

    with cluster() as (row, main):
        main.terminate()
        assert main.wait(PATIENCE_S) == 0

    assert list(OrmQ.objects.exclude(key=settings.Q_CLUSTER["name"])) == []
    assert Cluster.objects.get(pk=row.pk).stopped_at
