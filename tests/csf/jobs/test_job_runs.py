"""Daily jobs that were killed, failed or ran out of time come to their end on the same day."""

import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ, Schedule

from csf.clock import Now
from csf.jobs import runs, time_budget
from csf.jobs.report import Report
from csf.jobs.runs import queue_unfinished, run_job
from csf.jobs.schedules import sync_schedules
from csf.models import JobRun
from tests.conftest import ROOT
from tests.waiting import wait_until

JOB, TASK = "expire_credits", "csf.jobs.daily.expire_credits"
TODAY = date(2026, 11, 30)
ZONE = ZoneInfo(settings.SCHOOL_TIME_ZONE)
AT_SIX = datetime(2026, 11, 30, 6, tzinfo=ZONE)  # half an hour after its time


def queued():
    return [row.func() for row in OrmQ.objects.all()]


@pytest.fixture
def yesterday(db):
    return JobRun.objects.create(job=JOB, on=TODAY - timedelta(days=1), status="done")


def nothing():
    return Report()


def end_lease():
    JobRun.objects.filter(on=TODAY).update(lease_until=Now() - timedelta(seconds=1))


def test_a_run_that_the_queue_ended_is_started_again_when_its_lease_is_over(yesterday):
    def too_long():
        raise TimeoutException("60 s")

    with pytest.raises(TimeoutException):
        run_job(JOB, too_long, on=TODAY)
    assert (queue_unfinished(now=AT_SIX), queued()) == ([], [])

    end_lease()
    assert (queue_unfinished(now=AT_SIX), queue_unfinished(now=AT_SIX)) == ([JOB], [JOB])
    assert queued() == [TASK]

    run_job(JOB, nothing, on=TODAY)
    OrmQ.objects.all().delete()
    assert (queue_unfinished(now=AT_SIX), queued()) == ([], [])


def test_a_run_that_failed_is_started_again_after_a_while(yesterday):
    def fail():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        run_job(JOB, fail, on=TODAY)
    assert queue_unfinished(now=AT_SIX) == []

    JobRun.objects.filter(on=TODAY).update(finished_at=Now() - runs.LEASE)
    assert queue_unfinished(now=AT_SIX) == [JOB]


def test_a_job_whose_task_was_lost_is_started_but_not_before_its_time_nor_if_it_is_paused(yesterday):
    assert queue_unfinished(now=AT_SIX) == [JOB]
    assert queue_unfinished(now=AT_SIX - timedelta(minutes=25)) == []  # its own task may still come

    sync_schedules()
    Schedule.objects.filter(name=f"csf:{JOB}").update(repeats=0)
    assert queue_unfinished(now=AT_SIX) == []


@pytest.mark.django_db
def test_a_job_that_never_ran_waits_for_its_own_time():
    assert queue_unfinished(now=AT_SIX) == []


@pytest.mark.django_db
def test_a_run_whose_time_is_up_goes_on_in_another_task_and_counts_all_that_was_done(monkeypatch):
    rows, done = list(range(5)), []
    monkeypatch.setattr(time_budget, "is_over", lambda: len(done) == 2)

    def work():
        report = Report()
        for row in report.in_time([row for row in rows if row not in done]):
            done.append(row)
            report.done += 1
        return report

    assert run_job(JOB, work, on=TODAY)[0].status == "running"
    assert queued() == [TASK]
    done.append(None)  # another task has time of its own
    run_job(JOB, work, on=TODAY)

    run = JobRun.objects.get()
    assert (run.status, run.report["done"], sorted(done[:2] + done[3:])) == ("done", 5, rows)


KILLED = f"""
import time
import django
django.setup()
from csf.jobs.runs import run_job
run_job("{JOB}", lambda: time.sleep(600), on=__import__("datetime").date({TODAY.year}, 11, 30))
"""


def test_a_run_whose_worker_was_killed_is_taken_up(committed_db):
    JobRun.objects.create(job=JOB, on=TODAY - timedelta(days=1), status="done")
    worker = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT)
    wait_until(lambda: JobRun.objects.filter(on=TODAY, lease_until__isnull=False).exists())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end_lease()

    assert queue_unfinished(now=AT_SIX) == [JOB]
    assert run_job(JOB, nothing, on=TODAY)[1]
    assert JobRun.objects.get(on=TODAY).status == "done"
