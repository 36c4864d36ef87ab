"""Two transactions that want the same rows: the one that the database aborts is run again."""

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, models

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BROKEN_OFF = {"40P01", "40001"}  # a deadlock, a serialization failure
LOCK_TIMEOUT = "55P03"
RUNS = 3


def sqlstate(error: BaseException) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


def again_after_deadlock(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function up to RUNS times if the database aborts its transaction in favor of another.

    Goes outside `transaction.atomic`. Inside a caller's transaction nothing is repeated: all of it is lost,
    so the outermost caller must decide.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(RUNS - 1):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or sqlstate(error) not in BROKEN_OFF:
                    raise
                logger.warning("%s is run again: %s", function.__qualname__, error)
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - so that the two do not meet again
            for value in (*args, *kwargs.values()):
                if isinstance(value, models.Model):
                    value.refresh_from_db()  # what the lost run had set on it was rolled back
        return function(*args, **kwargs)

    return run


def is_database_away(error: BaseException) -> bool:
    """Refused, cut or shutting down; not an error of ours."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    state = sqlstate(error)
    return not state or state.startswith("08") or state in {"57P01", "57P02", "57P03", "53300"}
