import logging
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from csf.jobs import time_budget
from csf.jobs.for_each import Tally, for_each


def test_a_bad_row_is_logged_and_stops_no_other(caplog):
    turns = []

    def act(number):
        turns.append(number)
        if number == 2:
            raise ValueError("Kim Garcia")

    with caplog.at_level(logging.ERROR):
        assert for_each([1, 2, 3], act, doing="counting") == Tally(done=2, failed=1)
    assert turns == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == ["counting failed: 2"]


def test_without_the_database_nobody_has_a_turn():
    turns = []

    def act(number):
        turns.append(number)
        raise OperationalError("connection refused")

    with pytest.raises(OperationalError):
        for_each([1, 2, 3], act, doing="counting")
    assert turns == [1]


def test_when_the_time_of_the_task_is_up_the_others_wait(monkeypatch):
    turns = []
    minutes = SimpleNamespace(monotonic=lambda: 20 * len(turns))  # each turn takes 20 s, a task has 25
    monkeypatch.setattr(time_budget, "time", minutes)
    monkeypatch.setattr(time_budget._Task, "began_at", 0)

    assert for_each([1, 2, 3], turns.append, doing="counting") == Tally(done=2)
