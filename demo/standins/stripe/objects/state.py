"""The state that all parts of the stand-in share, and the call being answered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from demo.standins.stripe.objects.faults import Faults
from demo.standins.stripe.objects.store import Obj, Store


@dataclass
class State:
    store: Store
    public_url: str
    faults: Faults = field(default_factory=Faults)
    event_listeners: list[Callable[[Obj], None]] = field(default_factory=list)
    hook_errors: list[Exception] = field(default_factory=list)


STATE = web.AppKey("state", State)


@dataclass
class Call:
    """An API request, or an action of a page or the clock (then without id and key)."""

    path: str = ""
    params: Obj = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None


Handler: TypeAlias = Callable[..., Obj]  # (state, call, *ids from the path)


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    params_type: Any  # a TypedDict class of stripe.params
    handler: Handler
