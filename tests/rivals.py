"""Acts that want the same thing at the same moment, each in a thread and on a connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from tests.waiting import PATIENCE_S


def at_once(*acts: Callable[[], Any], lost: tuple[type[Exception], ...] = ()) -> list[Any]:
    """What each act came to, in their order: what it returned, or which exception of `lost` it raised. Any
    other exception is a failure of the test."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            start.wait(PATIENCE_S)
            return act()
        except lost as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def all_past(number: int, act: Callable[..., Any]) -> Callable[..., Any]:
    """`act`, from which nobody returns before so many have done it: what they read, none has changed yet."""
    done = threading.Barrier(number)

    def run(*args: Any, **options: Any) -> Any:
        result = act(*args, **options)
        done.wait(PATIENCE_S)
        return result

    return run
