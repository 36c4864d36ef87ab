"""`csf_now()`: the one clock of defaults and queries."""

import datetime

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.utils import timezone

from csf import clock
from csf.models import StaffTask
from tests.factories import create_staff

pytestmark = pytest.mark.django_db
THEN = datetime.datetime(2031, 3, 1, 12, tzinfo=datetime.UTC)


def move_clock():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION csf_now() RETURNS timestamptz LANGUAGE sql STABLE "
            f"AS $$ SELECT '{THEN.isoformat()}'::timestamptz $$"
        )


def test_defaults_queries_and_the_clock_agree_when_it_is_moved(monkeypatch):
    move_clock()
    monkeypatch.setattr(clock, "_last", None)

    task = StaffTask.objects.create(kind="dispute", subject="csf.x:1")
    task.refresh_from_db()
    found = StaffTask.objects.filter(pk=task.pk, opened_at__lte=clock.Now()).exists()

    assert (task.opened_at, found, clock._read().at) == (THEN, True, THEN)


def test_an_install_keeps_the_body_that_is_there():
    move_clock()

    clock.install_now(sender=None, using="default")

    assert not clock.is_database_time()


def test_production_refuses_the_clock_of_a_simulation(settings):
    settings.IS_PRODUCTION = True
    before = {message.id for message in run_checks()}
    move_clock()

    assert {message.id for message in run_checks()} - before == {"csf.E064"}


def test_it_is_the_start_of_the_statement():
    create_staff()

    with connection.cursor() as cursor:
        cursor.execute("SELECT csf_now() = statement_timestamp()")
        assert cursor.fetchone() == (True,)
    assert abs(clock._read().at - timezone.now()) < datetime.timedelta(minutes=1)
