"""Clusters by name: which name one takes, and the way of its canary."""

import os
import socket

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from csf.jobs import cluster
from csf.jobs.cluster import Broker, join, receive_canary
from csf.jobs.queue import enqueue
from csf.models import Cluster
from tests.factories import create_cluster

HOST = socket.gethostname()[:50]
NOBODY = 2**22 + 1  # more than any process has
PARENT = os.getppid()  # a process that lives


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("known", "name"),
    [
        pytest.param({}, HOST, id="the first"),
        pytest.param({"host": HOST, "pid": PARENT}, f"{HOST}-2", id="another one runs here"),
        pytest.param({"host": HOST, "pid": PARENT, "stopped_at": timezone.now()}, HOST, id="it was stopped"),
        pytest.param({"host": HOST, "pid": NOBODY}, HOST, id="it was killed"),
        pytest.param({"host": HOST, "pid": PARENT, "seen": 600}, HOST, id="its number was given away again"),
        pytest.param({"host": "elsewhere", "seen": 600}, f"{HOST}-2", id="another host calls one like this"),
    ],
)
def test_a_cluster_takes_the_first_free_name_of_its_host(known, name):
    if known:
        create_cluster(HOST, **known)

    assert join().name == name
    row = Cluster.objects.well().get(name=name)
    assert (row.host, row.pid, row.canary_at, row.stopped_at) == (HOST, os.getpid(), None, None)


@pytest.mark.django_db
def test_a_cluster_with_a_queue_of_its_own_says_so_in_its_name(monkeypatch):
    create_cluster(HOST, host=HOST, pid=PARENT)
    monkeypatch.setattr(cluster.Conf, "CLUSTER_NAME", "urgent")

    assert (join().name, Cluster.objects.get(pid=os.getpid()).queue) == (f"{HOST}-urgent", "urgent")
    assert [row.name for row in Cluster.objects.for_all_work()] == [HOST]


@pytest.mark.django_db
def test_a_canary_goes_by_its_own_cluster_only_and_before_all_that_waits(monkeypatch):
    first, second = create_cluster("first", canary_at=None), create_cluster("second", canary_at=None)
    enqueue("billing.tasks.charge")
    cluster._beat(first)
    cluster._beat(first)
    of_second = Broker(cluster._own_key(second))
    of_first = Broker(cluster._own_key(first))

    assert of_second._own() == []
    assert len(of_first._own()) == 1  # one waits at most
    assert list(OrmQ.objects.values_list("key", flat=True)) == ["csf"]
    cluster._beat(first)
    assert of_first._own() == []  # it looks only now and then
    assert len(of_first.dequeue() or ()) == 1

    receive_canary(task={"func": "csf.tasks.canary", "success": False, "args": ("first",)})
    receive_canary(task={"func": "billing.tasks.charge", "success": True, "args": ()})
    assert not Cluster.objects.exclude(canary_at=None).exists()
    receive_canary(task={"func": "csf.tasks.canary", "success": True, "args": ("first",)})
    assert [row.name for row in Cluster.objects.exclude(canary_at=None)] == ["first"]


@pytest.mark.django_db
def test_a_cluster_that_was_forgotten_by_mistake_is_back_with_its_next_sign_of_life():
    here = join()
    Cluster.objects.all().delete()

    cluster._beat(here)

    assert [row.name for row in Cluster.objects.well()] == [HOST]
