"""What the registry says of a kind of email."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from enrollments.models import User
from notifications.facts.snapshots import Snapshot


def at_once(fact: Any) -> timedelta:
    return timedelta(0)


AWAITED = 0
"""The priority of emails before which somebody sits: codes, links."""


@dataclass(frozen=True, kw_only=True)
class EmailSpec:
    recipients: Callable[[Any], list[User]]
    snapshot: Callable[[Any], Snapshot]
    key: Callable[[Any], str]
    """One business fact, one key; webhook, job and button all come to the same."""
    accent: Literal["green", "blue", "orange", "red", "grey"]
    is_copy_harmless: bool
    """Whether the sweep may send a second copy when it is not known if the first went out."""
    expires: Callable[[Any], datetime | None]
    happened_at: Callable[[Any], datetime] | None = None
    """For facts that are there before anybody is told of them: the moment of the first job that tells."""
    delay: Callable[[Any], timedelta] = at_once
    """How long it waits before it goes out, for facts that may soon be overtaken."""
    group: Literal["essential", "service", "promotional"] = "essential"
    """Only what is not essential can be switched off, and carries a link to do so."""
    family: Callable[[Any], int] | None = None
    """The id of the household whose money or seat it is about: if nobody can get it, staff are asked to
    call."""
    priority: int = 5
    is_sensitive: bool = False
    """Opens an account: what it tells is kept encrypted until it is sent, and the text is never kept."""
    still_true: Callable[[Iterable[int]], set[int]] = set
    """Of these fact ids, those that are still worth telling; asked once a batch, at the claim."""

    @property
    def is_plain(self) -> bool:
        """No secret to seal and no delay to count, so a row holds just its values."""
        return not self.is_sensitive and self.delay is at_once
