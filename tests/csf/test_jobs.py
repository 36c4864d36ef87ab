import datetime

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from csf import jobs
from csf.jobs import enqueue, sync_schedules

pytestmark = pytest.mark.django_db


def stored():
    return {row.name: (row.func, row.cron) for row in Schedule.objects.all()}


def test_schedules_are_registered_once_and_mended(monkeypatch):
    wanted = {f"csf:{name}": job for name, job in jobs.JOBS.items()}

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
    overdue = timezone.now() - datetime.timedelta(days=1)
    Schedule.objects.filter(name="csf:close_settled_tasks").update(next_run=overdue, repeats=0)

    assert sync_schedules() == 0

    row = Schedule.objects.get(name="csf:close_settled_tasks")
    assert (row.next_run, row.repeats) == (overdue, 0)


def test_the_command_says_how_many_changed(capsys):
    call_command("sync_schedules")
    call_command("sync_schedules")

    assert capsys.readouterr().out.splitlines() == [f"changed={len(jobs.JOBS)}", "changed=0"]


def test_every_job_can_be_imported():
    from django.utils.module_loading import import_string

    assert all(callable(import_string(task)) for task, _ in jobs.JOBS.values())


def test_a_task_belongs_to_the_transaction_it_is_queued_in(committed_db):
    with transaction.atomic():
        enqueue("csf.tasks.canary")
        transaction.set_rollback(True)

    assert OrmQ.objects.count() == 0
    enqueue("csf.tasks.canary")
    assert OrmQ.objects.count() == 1
