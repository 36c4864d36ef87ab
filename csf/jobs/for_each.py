"""One bad row must not stop the others."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.db import models

from csf.database.retry import is_database_away
from csf.jobs.time_budget import within

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
InTime = Callable[[Iterable[Item]], Iterator[Item]]


@dataclass
class Tally:
    done: int = 0
    failed: int = 0


def for_each(
    items: Iterable[Item], act: Callable[[Item], object], *, doing: str, in_time: InTime[Item] = within
) -> Tally:
    """Do it with each row, until the time is up. A failure is logged as `doing` with the row's id, and the
    row is left for another time.

    `act` commits by itself, so that a failure undoes no other row. If the database is down, no row can be
    handled: that error is raised.
    """
    tally = Tally()
    for item in in_time(items):
        if try_one(act, item, doing=doing):
            tally.done += 1
        else:
            tally.failed += 1
    return tally


def try_one(act: Callable[[Item], object], item: Item, *, doing: str) -> bool:
    """One step of `for_each`; False if it failed."""
    try:
        act(item)
    except Exception as error:
        if is_database_away(error):
            raise
        logger.exception("%s failed: %s", doing, item.pk if isinstance(item, models.Model) else item)
        return False
    return True
