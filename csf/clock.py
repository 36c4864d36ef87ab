"""What time it is, by the database's clock: all processes share it, and it stamps and compares the rows.

The clock of a worker or a web host may be a day ahead without anyone noticing for hours, so it decides
nothing. Each entry point (a task, command, page, webhook) reads the time here, once, and passes it on as
`now` or `on`.

Defaults and queries call `csf_now()`, a function of the database. Only a simulation, in a database of its
own, replaces its body; in production a check refuses any other (`csf.startup.checks`).
"""

import datetime
import time
from dataclasses import dataclass
from typing import Any

from django.db import connection, connections, models

from csf.dates import local_date

KEPT_S = 5
BODY = "SELECT statement_timestamp()"
CREATE = f"""
CREATE OR REPLACE FUNCTION csf_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS '{BODY}'
"""


@dataclass(frozen=True)
class _Reading:
    at: datetime.datetime
    ticks: float
    """Seconds of a stopwatch that nobody sets, when the answer had come: so we are never ahead."""


_last: _Reading | None = None


def now() -> datetime.datetime:
    """This instant. The database is asked every few seconds; in between a stopwatch counts on."""
    global _last
    if _last is None or time.monotonic() - _last.ticks > KEPT_S:
        _last = _read()
    return _last.at + datetime.timedelta(seconds=time.monotonic() - _last.ticks)


def forget() -> None:
    """For a simulation that has moved the database's clock: the next one who asks reads it again."""
    global _last
    _last = None


def today() -> datetime.date:
    """The school's calendar day."""
    return local_date(now())


def ahead_s() -> float:
    """How many seconds this process's clock is ahead of the database's; negative if it is behind."""
    return time.time() - _read().at.timestamp()


def _read() -> _Reading:
    with connection.cursor() as cursor:
        cursor.execute("SELECT csf_now()")
        [at] = cursor.fetchone()
    return _Reading(at, time.monotonic())


class Now(models.Func):
    function = "csf_now"
    arity = 0
    output_field = models.DateTimeField()


def install_now(sender: Any, using: str, **kwargs: Any) -> None:
    """Receiver of `pre_migrate`: tables have defaults that call it. An existing body is left alone."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT FROM pg_proc WHERE proname = 'csf_now'")
        if cursor.fetchone() is None:
            cursor.execute(CREATE)


def is_database_time() -> bool:
    """Whether `csf_now()` is the database's clock, or is not there yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_proc WHERE proname = 'csf_now' AND prosrc <> %s", [BODY])
        return cursor.fetchone() is None
