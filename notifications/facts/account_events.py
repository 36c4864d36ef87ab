"""The facts behind emails about accounts. `notifications.accounts` says when they happen."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from enrollments.models import User
from notifications.facts.samples import HOSTILE, LONG
from notifications.spec import Samples, Snapshot


@dataclass(frozen=True)
class AccountEvent:
    """It is not a row: each request for a code is a new fact."""

    recipient: User
    """Unsaved if the address has no account."""
    facts: Snapshot
    expires_at: datetime
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def pk(self) -> int:
        return self.recipient.pk or 0

    @property
    def recipients(self) -> list[User]:
        return [self.recipient]


def snapshot(event: AccountEvent) -> Snapshot:
    return event.facts


def with_its_code(event: AccountEvent) -> datetime:
    """with its code"""
    return event.expires_at


def with_its_link(event: AccountEvent) -> datetime:
    """with its link"""
    return event.expires_at


def samples(**facts: Any) -> Samples:
    """Only the name differs."""
    names = {"minimal": "", "typical": "Maria", "huge": LONG, "hostile": HOSTILE}
    return {sample: facts | {"first_name": name} for sample, name in names.items()}
