"""A season, from the day on which registration opens: one thing after another on a clock that jumps.

Families act, jobs run at their times, and after each step everything that follows from it is done: Stripe's
and SendGrid's events are posted, tasks worked off, and what the product looks for each minute is looked for
when something is due.
"""

import heapq
import itertools
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from demo.season import due, worker
from demo.season.characters import Life
from demo.season.clock import Clock
from demo.season.faults import Faults
from demo.season.world import Mail, Stripe

logger = logging.getLogger(__name__)

A_MINUTE = timedelta(minutes=1)  # the product looks for what is due once a minute


class Season:
    def __init__(self, clock: Clock, stripe: Stripe, mail: Mail, faults: Faults) -> None:
        self.clock, self.stripe, self.mail, self.faults = clock, stripe, mail, faults
        self._schedules = worker.Schedules(clock.now())
        self._lives: list[tuple[datetime, int, Life]] = []
        self._numbers = itertools.count()
        self._looked_at = clock.now()

    def begin(self, life: Life, at: datetime) -> None:
        heapq.heappush(self._lives, (at, next(self._numbers), life))

    def live(self, until: datetime, show: Callable[[datetime], None]) -> None:
        """Until that moment; `show` is called each day."""
        day = None
        while (at := self._next_at()) < until:
            self.clock.move_to(at)
            self._schedules.queue_due(at)
            while self._lives and self._lives[0][0] <= at:
                self._go_on(heapq.heappop(self._lives)[2])
            self.settle()
            if day != at.date():
                day = at.date()
                show(at)
        self.clock.move_to(until)
        self.settle()

    def _next_at(self) -> datetime:
        moments = [self._schedules.next_at()]
        if self._lives:
            moments.append(self._lives[0][0])
        waiting = [at for at in (due.next_at(), worker.next_at(), self.stripe.next_at()) if at]
        if waiting:
            moments.append(max(min(waiting), self._looked_at) + A_MINUTE)
        return min(moments)

    def _go_on(self, life: Life) -> None:
        pause = next(life, None)
        if pause is not None:
            self.begin(life, self.clock.now() + pause)

    def settle(self) -> None:
        self._looked_at = self.clock.now()
        self.stripe.let_time_pass()
        self._until_quiet()
        for name in due.sweeps(self.clock.now()):
            worker.run(name)
        self._until_quiet()

    def _until_quiet(self) -> None:
        while self.stripe.deliver(self.clock.now()) + worker.work_off(self.faults) + self.mail.deliver():
            pass
