from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage

from csf import clock
from csf.clock import Now
from csf.jobs.broker import Queue
from csf.jobs.declared import EVERY_MINUTE, daily_job, daily_jobs, jobs, scheduled
from csf.jobs.queue import enqueue
from csf.jobs.schedules import queue_due_jobs, sync_schedules
from csf.startup.process import _Commands
from csf.tasks import canary

pytestmark = pytest.mark.django_db


def stored():
    return {row.name: (row.func, row.cron) for row in Schedule.objects.all()}


def test_schedules_are_registered_once_and_mended(monkeypatch):
    wanted = {f"csf:{name}": (job.task, job.cron) for name, job in jobs().items()}

    assert sync_schedules() == len(wanted)
    assert stored() == wanted
    assert sync_schedules() == 0

    Schedule.objects.filter(name="csf:close_settled_tasks").update(cron="0 5 * * *")
    Schedule.objects.create(
        name="csf:close_settled_tasks", func="csf.tasks.canary", schedule_type=Schedule.CRON, cron="1 1 * * *"
    )
    Schedule.objects.create(name="csf:gone", func="csf.tasks.canary", schedule_type=Schedule.HOURLY)
    foreign = Schedule.objects.create(
        name="somebody else's", func="csf.tasks.canary", schedule_type=Schedule.HOURLY
    )
    assert sync_schedules() == 3
    assert stored() == wanted | {foreign.name: (foreign.func, None)}


def test_an_overdue_run_stays_due_and_a_paused_schedule_paused():
    sync_schedules()
    overdue = timezone.now() - timedelta(days=1)
    Schedule.objects.filter(name="csf:close_settled_tasks").update(next_run=overdue, repeats=0)

    assert sync_schedules() == 0

    row = Schedule.objects.get(name="csf:close_settled_tasks")
    assert (row.next_run, row.repeats) == (overdue, 0)


def test_the_command_says_how_many_changed(capsys):
    call_command("sync_schedules")
    call_command("sync_schedules")

    assert capsys.readouterr().out.splitlines() == [f"changed={len(jobs())}", "changed=0"]


def test_every_job_can_be_imported():
    from django.utils.module_loading import import_string

    assert all(callable(import_string(job.task)) for job in jobs().values())


def test_a_task_belongs_to_the_transaction_it_is_queued_in(committed_db):
    with transaction.atomic():
        enqueue("csf.tasks.canary")
        transaction.set_rollback(True)

    assert OrmQ.objects.count() == 0
    enqueue("csf.tasks.canary")
    assert OrmQ.objects.count() == 1


# --- When the clocks differ ---------------------------------------------------------------------------------

BY = pytest.mark.parametrize("wrong_by", [timedelta(days=1), -timedelta(hours=1)], ids=str)
CHARGES = "csf.jobs.daily.charge_due_installments"


def taken() -> list[str]:
    """What a cluster queues, takes and does when it looks."""
    queue_due_jobs("csf")
    broker, tasks = Queue("csf"), []
    while rows := broker.dequeue():
        for pk, payload in rows:
            tasks.append(SignedPackage.loads(payload)["func"])
            broker.acknowledge(pk)
    return tasks


@pytest.fixture
def charges():
    """The schedule of the daily charges, alone."""
    sync_schedules()
    ours = Schedule.objects.filter(name="csf:charge_due_installments")
    Schedule.objects.exclude(pk__in=ours).delete()
    return ours


@pytest.mark.clocks_differ
@BY
def test_a_cluster_whose_clock_is_wrong_queues_a_job_when_all_others_would(charges, wrong_by):
    slot = charges.get().next_run
    with time_machine.travel(timezone.now() + wrong_by):
        assert taken() == []
        assert charges.get().next_run == slot

        charges.update(next_run=Now() - timedelta(seconds=1))
        assert taken() == [CHARGES]
        assert taken() == []
        assert charges.get().next_run == slot


@pytest.mark.clocks_differ
def test_by_its_own_clock_it_would_run_the_jobs_of_tomorrow(charges, monkeypatch):
    monkeypatch.setattr(clock, "now", timezone.now)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert taken() == [CHARGES]


@pytest.mark.clocks_differ
def test_a_next_run_that_a_wrong_clock_left_is_put_right_by_any_cluster(charges):
    slot = charges.get().next_run
    charges.update(next_run=slot + timedelta(days=1))

    assert taken() == []

    assert charges.get().next_run == slot


@pytest.mark.clocks_differ
@BY
def test_clusters_whose_clocks_differ_share_one_queue(wrong_by):
    enqueue("csf.tasks.close_settled_tasks")
    with time_machine.travel(timezone.now() + wrong_by):
        enqueue("csf.tasks.close_settled_tasks")
        [(at_work, _)] = Queue("csf").dequeue()

    [(other, _)] = Queue("csf").dequeue()  # what the other host queued is to be had at once

    with time_machine.travel(timezone.now() + wrong_by):
        assert Queue("csf").dequeue() is None  # what others are at work on is theirs
    OrmQ.objects.filter(pk=at_work).update(lock=Now())  # nobody said that it is done
    assert [pk for pk, _ in Queue("csf").dequeue()] == [at_work]
    assert other != at_work


# --- Declarations -------------------------------------------------------------------------------------------


def test_each_daily_job_is_a_command_of_its_own_name(capsys):
    """`purge` has a command that shows more."""
    for name in daily_jobs().keys() - {"purge"}:
        command = _Commands(["manage.py", name]).fetch_command(name)
        assert command.job.name == name
        assert "--dry-run" in command.create_parser("manage.py", name).format_help()
    with pytest.raises(SystemExit):
        _Commands(["manage.py", "no_such_job"]).fetch_command("no_such_job")
    assert "Unknown command: 'no_such_job'" in capsys.readouterr().err


def test_a_dry_run_of_a_job_that_has_none_is_refused():
    with pytest.raises(CommandError, match="compare_books has no dry run"):
        call_command("run_job", "compare_books", "--dry-run")


@pytest.mark.parametrize("at", ["00:30", "03:59"])
def test_a_daily_job_keeps_away_from_the_hours_that_the_clock_skips(at):
    with pytest.raises(ValueError, match="may come twice in a night"):
        daily_job(at=at)


def test_two_jobs_cannot_have_one_name():
    jobs()
    with pytest.raises(ValueError, match="two jobs are called purge"):
        scheduled(EVERY_MINUTE, name="purge")(canary)
