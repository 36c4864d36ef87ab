"""How long the loops and calls of a task may take: the queue ends a task after 60 s, wherever it is."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Row = TypeVar("Row")

# Both are counted from the start of the task, however many loops it has.
LOOP_S = 25.0  # then no loop begins another row
CALLS_S = 50.0  # then no call waits for its answer any longer, however many the last row needs


class _Task:
    """What this process works on: a worker has one task at a time, and its threads share the time."""

    began_at: float | None = None  # monotonic; None in pages and commands


def begin_task() -> None:
    _Task.began_at = time.monotonic()


def ends_at(seconds: float) -> float:
    """The monotonic time at which a task that may take this long is over; outside of a task, counted from
    now."""
    return (time.monotonic() if _Task.began_at is None else _Task.began_at) + seconds


def within(rows: Iterable[Row], *, seconds: float = 0) -> Iterator[Row]:
    """The rows, until the time is up (LOOP_S by default); the rest is for the next sweep."""
    deadline = ends_at(seconds or LOOP_S)
    for row in rows:
        if time.monotonic() > deadline:
            return
        yield row


def is_over() -> bool:
    """Whether a task should leave the rest to another one. Never in a command, which has no time limit."""
    return _Task.began_at is not None and time.monotonic() > ends_at(LOOP_S)


def left_for_calls_s() -> float:
    return math.inf if _Task.began_at is None else ends_at(CALLS_S) - time.monotonic()
