"""When the facts that are being written down really happened.

Usually that is now. But something that Stripe reports, or that a sweep catches up with, may be older than a
restored database: then the lost installation may already have emailed the family about it.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, wraps
from typing import Any, ParamSpec, TypeVar

from csf.models import Instance

P = ParamSpec("P")
R = TypeVar("R")
Thing = Mapping[str, Any]


class _Moment:
    def __init__(self, at: datetime.datetime) -> None:
        self.at = at

    @cached_property
    def was_seen_by_predecessor(self) -> bool:
        until = Instance.may_be_known_until()
        return until is not None and self.at < until


_current: ContextVar[_Moment | None] = ContextVar("happened", default=None)


@contextmanager
def happened(*, at: datetime.datetime | None) -> Iterator[None]:
    """Everything written inside happened at that moment; without one, the outer block's moment applies."""
    if at is None:
        yield
        return
    token = _current.set(_Moment(at))
    try:
        yield
    finally:
        _current.reset(token)


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


def was_seen_by_predecessor() -> bool:
    """Whether what is being written happened while another installation may have acted on it."""
    moment = _current.get()
    return moment is not None and moment.was_seen_by_predecessor
