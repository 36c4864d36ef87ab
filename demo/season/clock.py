"""A clock that jumps: Python's, the database's and the stand-ins' together, so that all times agree.

Between two jumps it runs on as clocks do: whatever waits for a second to pass, waits a second. Nothing but
the database of the season has a `csf_now()` that follows it.
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

import time_machine
from django.db import connection

from csf import clock

FOLLOW = "SELECT at + (statement_timestamp() - since) FROM season_clock"


class Clock:
    def __init__(self, travel: time_machine.Traveller) -> None:
        self._travel = travel

    def move_to(self, at: datetime.datetime) -> None:
        """Never back: what took long has already used up its time."""
        if at <= self.now():
            return
        self._travel.move_to(at)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE season_clock SET at = %s, since = clock_timestamp()", [at])
        clock.forget()

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


@contextmanager
def moved_to(begin: datetime.datetime) -> Iterator[Clock]:
    """Until the block ends; then `csf_now()` is the database's clock again."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS season_clock (at timestamptz, since timestamptz)")
        cursor.execute("TRUNCATE season_clock")
        cursor.execute("INSERT INTO season_clock VALUES (%s, clock_timestamp())", [begin])
        cursor.execute(clock.CREATE.replace(clock.BODY, FOLLOW))
    clock.forget()
    try:
        with time_machine.travel(begin, tick=True) as travel:
            yield Clock(travel)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(clock.CREATE)
            cursor.execute("DROP TABLE season_clock")
        clock.forget()
