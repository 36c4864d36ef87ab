"""How long a worker's loop may run: the queue ends a task after 60 s, wherever it is."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Row = TypeVar("Row")

LOOP_S = 25.0  # the last row may wait 20 s for an answer from outside, and something comes before and after


def within(rows: Iterable[Row], *, seconds: float = LOOP_S) -> Iterator[Row]:
    """The rows, until the time is up; the rest is for the next sweep."""
    deadline = time.monotonic() + seconds
    for row in rows:
        if time.monotonic() > deadline:
            return
        yield row
