"""What goes wrong on the way: webhooks lost, late and twice, calls without an answer, workers that die.

All of it heals by itself, and the proof at the end is the same as without.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from django.db import connection

LATEST = timedelta(hours=6)


class Killed(BaseException):
    """As a SIGKILL: no handler of errors sees it, and what was not committed is gone."""


@dataclass
class Faults:
    """Shares of all webhooks and tasks, by dice of their own."""

    dice: Random
    lost: float = 0.03
    late: float = 0.10
    twice: float = 0.05
    killed: float = 0.01
    is_over: bool = False
    """The last days are calm, so that everything can heal before the proof."""

    def deliveries(self) -> list[timedelta]:
        """After what time each copy of a webhook comes; none if it is lost."""
        if self.is_over:
            return [timedelta()]
        share = self.dice.random()
        if share < self.lost:
            return []
        if share < self.lost + self.late:
            return [self._later()]
        if share < self.lost + self.late + self.twice:
            return [timedelta(), self._later()]
        return [timedelta()]

    def _later(self) -> timedelta:
        return timedelta(seconds=self.dice.randint(1, int(LATEST.total_seconds())))

    @contextmanager
    def deadly(self) -> Iterator[None]:
        """Now and then whatever runs inside dies at one of its next statements."""
        with ExitStack() as stack:
            if not self.is_over and self.dice.random() < self.killed:
                stack.enter_context(connection.execute_wrapper(_Death(self.dice.randint(1, 40))))
            yield


class _Death:
    def __init__(self, statements: int) -> None:
        self.left = statements

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise Killed
        return execute(*arguments)


NONE = Faults(Random(0), is_over=True)  # noqa: S311 - decides nothing

# Of a hundred tries to charge or refund, two get no usable answer after the money has moved, and two get none
# before it would.
AT_STRIPE = [
    {"path": path, "method": "POST", "kind": kind, "probability": 0.02, "seed": seed}
    for seed, (path, kind) in enumerate(
        (path, kind)
        for path in ("/v1/invoices/*/pay", "/v1/refunds")
        for kind in ("error_after", "error_before", "drop_after", "rate_limit")
    )
]
AT_SENDGRID = {
    "share_429": 0.01,
    "share_503": 0.02,
    "share_cut_before": 0.01,
    "share_cut_after": 0.01,
}
