"""What was received and which events were sent, in memory and in an append-only file.

The product never reads these books: they are the other side's account, and tests compare tables with them.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(slots=True)
class Received:
    """`to` holds every recipient (to, cc, bcc); `status` is the HTTP status, or `cut`, `slow` and so on."""

    id: int
    received_at: float
    connection: int
    path: str
    status: int | str
    accepted: bool
    message_id: str
    to: list[str]
    subject: str
    kind: str
    custom_args: dict[str, str]
    sha256: str
    body: bytes

    def entry(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "body"}


@dataclass(slots=True)
class Event:
    """`delivery` is pending, delivered or lost; `request` is None for events of the account."""

    id: int
    request: int | None
    due_at: float
    payload: dict[str, Any]
    delivery: str = "pending"
    tries: int = 0
    status: int | None = None
    posted_at: float | None = None


class Books:
    def __init__(self, path: Path | None = None, *, fresh: bool = False) -> None:
        self.requests: list[Received] = []
        self.events: list[Event] = []
        self._by_request: defaultdict[int | None, list[Event]] = defaultdict(list)
        self.deleted_up_to = 0
        self._file: IO[str] | None = None
        if path:
            self._open(path, fresh)

    def _open(self, path: Path, fresh: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not fresh:
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    self._replay(line)
        self._file = path.open("w" if fresh else "a", encoding="utf-8")
        # A kill may have cut the last line short; the next one must not continue it.
        if self._file.tell():
            self._file.write("\n")

    def _replay(self, line: str) -> None:
        try:
            what, fact = json.loads(line)
        except ValueError:
            return
        if what == "request":
            self.requests.append(Received(**{**fact, "body": fact["body"].encode()}))
        elif what == "event":
            self._keep(Event(**fact))
        elif what == "posted":
            for event in self._numbered(fact.pop("events")):
                event.tries += 1
                event.status, event.delivery, event.posted_at = fact["status"], fact["delivery"], fact["at"]
        elif what == "deleted":
            self.deleted_up_to = fact
        else:
            self._forget()

    def _numbered(self, ids: Iterable[int]) -> Iterator[Event]:
        return (self.events[number - 1] for number in ids)

    def _write(self, what: str, fact: Any) -> None:
        if self._file:
            self._file.write(json.dumps([what, fact]) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def receive(self, received: Received) -> None:
        self.requests.append(received)
        if self._file:
            self._write("request", {**received.entry(), "body": received.body.decode("utf-8", "replace")})

    def next_request(self) -> int:
        return len(self.requests) + 1

    def add_event(self, request: int | None, due_at: float, payload: dict[str, Any], *, lost: bool) -> Event:
        event = Event(len(self.events) + 1, request, due_at, payload, "lost" if lost else "pending")
        self._keep(event)
        self._write("event", asdict(event))
        return event

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        self._by_request[event.request].append(event)

    def posted(self, events: list[Event], status: int) -> None:
        """Record a post of these events; `status` 0 means no answer."""
        now, delivery = time.time(), "delivered" if 200 <= status < 300 else "pending"
        for event in events:
            event.tries += 1
            event.status, event.delivery, event.posted_at = status, delivery, now
        fact = {"events": [e.id for e in events], "status": status, "delivery": delivery, "at": now}
        self._write("posted", fact)

    def pending(self) -> list[Event]:
        return [event for event in self.events if event.delivery == "pending"]

    def delete_messages(self) -> None:
        """Empty the mailbox; the books still list everything received."""
        self.deleted_up_to = len(self.requests)
        self._write("deleted", self.deleted_up_to)

    def reset(self) -> None:
        self._forget()
        self._write("reset", None)

    def _forget(self) -> None:
        self.requests.clear()
        self.events.clear()
        self._by_request.clear()
        self.deleted_up_to = 0

    def messages(self, *, to: str = "", kind: str = "") -> Iterator[Received]:
        """Accepted mails, newest first."""
        for received in reversed(self.requests):
            if received.id <= self.deleted_up_to:
                return
            fits = not to or to.lower() in (address.lower() for address in received.to)
            if received.accepted and fits and kind in ("", received.kind):
                yield received

    def message(self, number: int) -> Received | None:
        if not self.deleted_up_to < number <= len(self.requests):
            return None
        received = self.requests[number - 1]
        return received if received.accepted else None

    def events_of(self, received: Received) -> list[Event]:
        return self._by_request.get(received.id, [])
