"""Whether this installation can do its work: for `/readyz`, and for the watchdog of the cluster.

A stuck Django-Q2 cluster keeps reporting "Idle", so its own status does not count: its canary does
(`csf/jobs/cluster.py`).

Problems that only need a person (late emails, parked events) are no reason to take the site down or to
restart anything: `notifications.alerts.report` reports it. Nor is one cluster of two: the other does the
work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from csf.jobs.cluster import is_here, is_running
from csf.jobs.declared import Job, jobs
from csf.jobs.schedules import overdue
from csf.models import Cluster, Instance
from csf.templatetags.csf_format import until

SCHEDULE_MAX_LATE = timedelta(minutes=3)  # each cluster looks every 15 s

START = "Start the worker: systemctl start csf-cluster."
START_URGENT = (
    "Start it: systemctl start csf-urgent. Until then the other workers send sign-in codes among "
    "everything else."
)
RESTART = (
    "Restart the worker on that host: systemctl restart csf-cluster. If the host is gone for good, press "
    "Forget on the System page."
)
SCHEDULES = "Run manage.py sync_schedules. If that does not help, check the worker's log."


@dataclass(frozen=True)
class Problem:
    text: str
    todo: str = ""
    cluster: str = ""
    restart_helps: bool = False
    """Of the worker on this host."""


def why_not_ready() -> list[str]:
    """Why the site must not count as ready, in words; empty if everything works."""
    at_work = [] if Cluster.objects.for_all_work().well().exists() else cluster_problems()
    return [problem.text for problem in (*_quarantine(), *at_work, *_late_schedules())]


def problems() -> list[Problem]:
    """Everything that keeps work from being done."""
    return [*_quarantine(), *cluster_problems(), *schedule_problems()]


def _quarantine() -> Iterator[Problem]:
    if why := Instance.why_quarantined():
        yield Problem(f"nothing is sent or charged: {why}")


def cluster_problems() -> Iterator[Problem]:
    """Each cluster that is dead or stuck, by name."""
    if not Cluster.objects.for_all_work().expected().exists():
        # A copy in quarantine may well have no workers.
        restart_helps = not Instance.why_quarantined()
        yield Problem("no cluster of workers is running", START, restart_helps=restart_helps)
    for cluster in Cluster.objects.silent():
        # A process that is gone is restarted by the program that started it.
        hangs = is_here(cluster) and is_running(cluster)
        text = f"cluster {cluster} has not responded since {_since(cluster.seen_at)}"
        yield Problem(text, RESTART, cluster.name, hangs)
    for cluster in Cluster.objects.stuck():
        since = cluster.canary_at or cluster.started_at
        text = f"cluster {cluster} runs, but no task has come through it since {_since(since)}"
        yield Problem(text, RESTART, cluster.name, is_here(cluster))


def _since(instant: datetime) -> str:
    return until(instant).replace("\u00a0", " ")  # for logs


def schedule_problems() -> Iterator[Problem]:
    yield from _late_schedules()
    if any(job.is_urgent for job in _late_jobs()):
        yield Problem("no urgent worker is running, so sign-in codes and receipts may be late", START_URGENT)


def _late_schedules() -> Iterator[Problem]:
    if late := [job.name for job in _late_jobs() if not job.is_urgent]:
        yield Problem(f"no schedule has started for {SCHEDULE_MAX_LATE}: {', '.join(late)}", SCHEDULES)


def _late_jobs() -> list[Job]:
    return [jobs()[name] for name in overdue(SCHEDULE_MAX_LATE)]
