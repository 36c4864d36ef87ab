"""The state that all handlers of one stand-in share."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from demo.standins.sendgrid.behaviour import Switches, changed
from demo.standins.sendgrid.books import Books
from demo.standins.sendgrid.events import Postman


@dataclass
class Standin:
    books: Books
    postman: Postman
    switches: Switches
    initial: Switches
    api_key: str | None
    check: bool
    rng: Random = field(default_factory=Random)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    second: int = 0
    used_this_second: int = 0
    _connections: WeakKeyDictionary[asyncio.BaseTransport, int] = field(default_factory=WeakKeyDictionary)
    _opened: int = 0

    def connection(self, request: web.Request) -> int:
        """Number connections in the order of their first requests; 0 if the client is already gone."""
        if request.transport is None:
            return 0
        if request.transport not in self._connections:
            self._opened += 1
            self._connections[request.transport] = self._opened
        return self._connections[request.transport]

    def control(self, changes: Mapping[str, Any]) -> None:
        """Set switches. An unknown one or a wrong value raises ValueError and changes nothing."""
        wanted = changed(self.switches, changes)
        newly_suspended = wanted.suspended and not self.switches.suspended
        self._set(wanted)
        if "seed" in changes:
            self.rng.seed(changes["seed"])
        if newly_suspended:
            self.postman.account_event("compliance_suspend")

    def reset(self) -> None:
        self.postman.forget()
        self.books.reset()
        self._set(self.initial)
        self.rng.seed()

    def _set(self, wanted: Switches) -> None:
        # In place: the postman reads the same object.
        for switch in fields(Switches):
            setattr(self.switches, switch.name, getattr(wanted, switch.name))

    def state(self) -> dict[str, Any]:
        return asdict(self.switches)


STANDIN = web.AppKey("standin", Standin)
