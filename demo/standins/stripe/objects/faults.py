"""Faults that make the stand-in misbehave, in API calls and in webhook deliveries."""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from types import NoneType

from demo.standins.stripe.objects.store import Obj

REQUEST_KINDS = (
    "delay",
    "hang",
    "drop_before",
    "drop_after",
    "error_before",
    "error_after",
    "rate_limit",
    "conflict",
    "revoked_key",
    "decline",
)
WEBHOOK_KINDS = ("hold", "drop", "delay", "duplicate", "shuffle", "foreign", "stale", "before_answer")


TYPES: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "path": (str,),
    "type": (str,),
    "code": (str,),
    "times": (int, NoneType),
    "copies": (int,),
    "probability": (int, float),
    "seconds": (int, float, NoneType),
}


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
    seconds: float | None = None
    copies: int = 2
    code: str = "generic_decline"
    stored: bool | None = None
    dice: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        kinds = {"api": REQUEST_KINDS, "webhook": WEBHOOK_KINDS}.get(self.target, ())
        if self.kind not in kinds:
            raise ValueError(f"no fault {self.kind!r} for target {self.target!r}")
        for name, types in TYPES.items():
            if not isinstance(getattr(self, name), types):
                raise ValueError(f"{name} cannot be {getattr(self, name)!r}")
        self.dice = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    @property
    def pause(self) -> float:
        """In seconds."""
        if self.seconds is not None:
            return self.seconds
        return 60.0 if self.kind == "hang" else 1.0

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
        return self._first(lambda f: f.kind != "decline" and _is_for_request(f, method, path))

    def for_payment(self, path: str) -> Fault | None:
        """A forced decline, looked up at the moment of the charge."""
        return self._first(lambda f: f.kind == "decline" and _is_for_request(f, "POST", path))

    def for_event(self, event_type: str) -> Fault | None:
        return self._first(lambda f: f.target == "webhook" and fnmatchcase(event_type, f.type))

    def _first(self, matches: Callable[[Fault], bool]) -> Fault | None:
        return next((fault for fault in self.active if matches(fault) and fault.strikes()), None)


def _is_for_request(fault: Fault, method: str, path: str) -> bool:
    return fault.target == "api" and fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path)
