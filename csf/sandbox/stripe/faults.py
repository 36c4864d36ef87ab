"""Switches that make the stand-in misbehave: on API calls, and on the way of a webhook."""

import random
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase

from csf.sandbox.stripe.store import Obj

REQUEST_KINDS = (
    "delay",
    "hang",
    "drop_before",
    "drop_after",
    "error_before",
    "error_after",
    "rate_limit",
    "conflict",
    "decline",
)
WEBHOOK_KINDS = ("hold", "drop", "delay", "duplicate", "shuffle", "foreign", "stale", "before_answer")


@dataclass
class Fault:
    """`target` is "api" (matched by `method` and `path`) or "webhook" (by `type`), with shell patterns.

    `stored`: a 500 is kept under the idempotency key, and a repeat gets it again (None: error_after only).
    `times`: how often it strikes (None: until cleared).
    """

    kind: str
    target: str = "api"
    method: str = "*"
    path: str = "*"
    type: str = "*"
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    seconds: float = 1.0
    copies: int = 2
    code: str = "generic_decline"
    stored: bool | None = None
    dice: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        kinds = {"api": REQUEST_KINDS, "webhook": WEBHOOK_KINDS}.get(self.target, ())
        if self.kind not in kinds:
            raise ValueError(f"no fault {self.kind!r} for target {self.target!r}")
        self.dice = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def strikes(self) -> bool:
        if self.times == 0 or self.dice.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def as_json(self) -> Obj:
        return {name: value for name, value in asdict(self).items() if name != "dice"}


@dataclass
class Faults:
    active: list[Fault] = field(default_factory=list)

    def for_request(self, method: str, path: str) -> Fault | None:
        return next((f for f in self.active if _matches(f, "api", method, path) and f.strikes()), None)

    def for_event(self, event_type: str) -> Fault | None:
        return next((f for f in self.active if _matches(f, "webhook", type=event_type) and f.strikes()), None)


def _matches(fault: Fault, target: str, method: str = "", path: str = "", type: str = "") -> bool:
    return (
        fault.target == target
        and fnmatchcase(method, fault.method)
        and fnmatchcase(path, fault.path)
        and fnmatchcase(type, fault.type)
    )
