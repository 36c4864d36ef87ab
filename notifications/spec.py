"""What a kind of email is: each module of `notifications/emails/` declares one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import models
from django.utils.functional import Promise

from csf import clock
from enrollments.models import User
from orders.models import Order

Snapshot = dict[str, Any]
Samples = Mapping[str, Snapshot]


def at_once(fact: Any) -> timedelta:
    return timedelta(0)


AWAITED = 0
"""The priority of emails before which someone sits: codes, links."""


def always(row: Any) -> bool:
    return True


def itself(row: Any) -> list[Any]:
    return [row]


@dataclass(frozen=True)
class Trigger:
    """The row whose creation queues the email, in the same transaction."""

    row: type[models.Model]
    owes: Callable[[Any], bool] = always
    facts: Callable[[Any], list[Any]] = itself
    """What the email is about, if it is not the row itself."""
    order: str = ""
    """The lookup from the row to its order, if it has one."""


@dataclass(frozen=True)
class RequiredFor:
    """All rows that must have one email each, for the invariants.

    `about` is what the key names: of several rows about the same thing only one sends an email.
    """

    rows: models.QuerySet[Any]
    household: str
    about: str = "pk"


@dataclass(frozen=True)
class Choice:
    """What parents read on the page where they switch a kind on or off."""

    title: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Email:
    kind: str
    """The name of its module and of its template."""
    title: str | Promise
    when: str
    """When it goes out, for docs/emails.md."""
    recipients: Callable[[Any], list[User]]
    snapshot: Callable[[Any], Snapshot]
    key: Callable[[Any], str]
    """One business fact, one key; webhook, job and button all come to the same."""
    accent: Literal["green", "blue", "orange", "red", "grey"]
    is_copy_harmless: bool
    """Whether the sweep may send a second copy when it is not known if the first went out."""
    expires: Callable[[Any], datetime | None]
    happened_at: Callable[[Any], datetime] | None = None
    """For facts that exist before their email: the moment of the first job that sends it."""
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
    """Which of these facts are still worth an email (by default all); asked once a batch, at the claim."""
    samples: Samples
    """What it may have to say, at worst and at best: for previews and tests."""
    trigger: Trigger | None = None
    """None if a job, a page or a signal of another library asks for it."""
    of_order: Callable[[Order], Any] | None = None
    """The newest fact of an order that it could be about, where the trigger does not say it."""
    required_for: RequiredFor | None = None
    choice: Choice | None = None
    topic: Literal["money", "places", "account", ""] = ""
    """Where parents find it among the emails that they always get."""

    @property
    def is_plain(self) -> bool:
        """No secret to seal and no delay to count, so a row holds just its values."""
        return not self.is_sensitive and self.delay is at_once

    def newest_fact(self, order: Order) -> Any:
        """None if nothing has happened to the order that this email is about."""
        if self.of_order:
            return self.of_order(order)
        if not self.is_about_orders:
            return None
        assert self.trigger
        rows = self.trigger.row._default_manager.filter(**{self.trigger.order: order}).order_by("-pk")
        return next((row for row in rows if self.trigger.owes(row)), None)

    @property
    def is_about_orders(self) -> bool:
        return bool(self.of_order or (self.trigger and self.trigger.order))


def after(life: timedelta) -> Callable[[Any], datetime]:
    """Expires that long after it was queued."""

    def ends_at(fact: Any) -> datetime:
        return clock.now() + life

    hours = life // timedelta(hours=1)
    ends_at.__doc__ = f"{hours} hours" if hours <= 24 else f"{hours // 24} days"
    return ends_at
