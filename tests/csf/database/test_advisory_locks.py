"""Slots of work: never more workers than there are, and none is lost with its worker."""

import pytest
from django.db import connection

from csf.database import advisory_locks
from csf.database.advisory_locks import free_slot
from tests.waiting import wait_until

WORK, OTHER_WORK = 90_001, 90_002

pytestmark = pytest.mark.django_db


def is_free(work):
    with free_slot(work, of=1) as slot:
        return slot == 0


def test_there_are_so_many_slots_and_the_end_of_the_work_frees_its_own():
    with free_slot(WORK, of=2) as first, free_slot(WORK, of=2) as second, free_slot(WORK, of=2) as third:
        assert (first, second, third) == (0, 1, None)
        assert is_free(OTHER_WORK)

    wait_until(lambda: is_free(WORK))  # the database needs a moment to see that a connection is closed


def test_a_slot_keeps_no_old_rows_alive():
    with free_slot(WORK, of=2), free_slot(WORK, of=2), connection.cursor() as cursor:
        cursor.execute(
            "SELECT backend_xid, backend_xmin FROM pg_stat_activity "
            "WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        assert cursor.fetchall() == [(None, None)] * 2


def test_the_database_frees_the_slot_of_a_machine_that_is_gone(monkeypatch):
    """Its connection stays open, and nobody says another word on it."""
    monkeypatch.setattr(advisory_locks, "SILENT_S", 0)  # 0 is no limit
    with free_slot(OTHER_WORK, of=1):
        monkeypatch.setattr(advisory_locks, "SILENT_S", 1)
        with free_slot(WORK, of=1) as slot:
            assert slot == 0
            wait_until(lambda: is_free(WORK))
        assert not is_free(OTHER_WORK), "without the limit it stays taken"
