"""When the facts that are being written down really happened.

Usually that is now. But something that Stripe reports, or that a sweep catches up with, may be older than a
restored database: then the lost installation may already have emailed the family about it.
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

from csf.models import Instance


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


def was_seen_by_predecessor() -> bool:
    """Whether what is being written happened while another installation may have acted on it."""
    moment = _current.get()
    return moment is not None and moment.was_seen_by_predecessor
