"""Wait for a state, never for a time: on a busy machine everything takes longer."""

import threading
import time
from collections.abc import Callable

from django.db import connection

PATIENCE_S = 120
"""Only a test that fails waits this long."""


def wait_until(is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def is_a_lock_awaited() -> bool:
    """Whether somebody waits for a lock in this test's database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction keeps its first look
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND datname = current_database())"
        )
        return cursor.fetchone() == (True,)


class Meeting:
    """Brings two threads to the same point at the same time, unless a lock keeps one of them away."""

    def __init__(self) -> None:
        self._arrived: list[int] = []

    def wait(self) -> None:
        """Return when both are here, or when the other one waits for a lock and so cannot come."""
        self._arrived.append(threading.get_ident())
        wait_until(lambda: len(self._arrived) > 1 or is_a_lock_awaited())
