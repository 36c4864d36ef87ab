from csf import clock
from csf.jobs.declared import EVERY_MINUTE, scheduled
from csf.jobs.queue import enqueue
from csf.jobs.runs import queue_unfinished
from csf.models import Cluster
from csf.proofs import nightly
from csf.staff.tasks import close_settled


def canary(cluster: str) -> None:
    """Of that cluster: it has come as far as a worker with a connection to the database."""
    Cluster.objects.filter(name=cluster).exists()


@scheduled(EVERY_MINUTE)
def close_settled_tasks() -> None:
    close_settled()


@scheduled("*/5 * * * *", title="Check for contradictions")
def prove() -> None:
    if nightly.prove(now=clock.now()):
        enqueue("csf.tasks.prove")


@scheduled("*/5 * * * *")
def queue_unfinished_jobs() -> None:
    queue_unfinished(now=clock.now())
