"""What Stripe reports happened when its object says, not when we hear of it."""

import datetime
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from csf.happened import happened

P = ParamSpec("P")
R = TypeVar("R")
Thing = Mapping[str, Any]


def dated_by(
    moment_of: Callable[[Thing], datetime.datetime | None],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function that records its first argument, an object of Stripe's: it happened at the time in that
    object."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            thing: Any = args[0]
            with happened(at=moment_of(thing)):
                return function(*args, **kwargs)

        return run

    return decorate
