"""Payment plans as arithmetic: how a total is split into parts, and when each is due."""

import calendar
import datetime
from dataclasses import dataclass
from itertools import count, islice

from django.conf import settings

from csf.money import share_cents


@dataclass(frozen=True)
class Part:
    """One part of a total, due on a local date."""

    number: int
    due_on: datetime.date
    amount_cents: int


def split_cents(total_cents: int, *, parts: int, deposit_bps: int = 0) -> list[int]:
    """The amounts of the parts, adding up to the cent; the remainder of the division is on the last.

    With a deposit the first part is that share of the total and the rest is divided evenly; without one all
    parts are even.
    """
    if parts == 1:
        return [total_cents]
    first_cents = share_cents(total_cents, deposit_bps) if deposit_bps else total_cents // parts
    each_cents = (total_cents - first_cents) // (parts - 1)
    even = [each_cents] * (parts - 2)
    return [first_cents, *even, total_cents - first_cents - sum(even)]


def due_dates(first_on: datetime.date, *, interval: str, parts: int) -> list[datetime.date]:
    """The due day of each part. Months are anchored on the first day: 31 January, 28 February, 31 March."""
    if interval == "monthly":
        return [_months_later(first_on, months) for months in range(parts)]
    weeks = {"weekly": 1, "biweekly": 2}[interval]
    days = (first_on + datetime.timedelta(weeks=weeks * number) for number in count())
    return list(islice(days, parts))


def _months_later(day: datetime.date, months: int) -> datetime.date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return datetime.date(year, month + 1, min(day.day, last))


def schedule(
    total_cents: int,
    *,
    first_on: datetime.date,
    interval: str,
    parts: int,
    deposit_bps: int,
    ends_on: datetime.date,
) -> list[Part] | None:
    """The parts of a plan; None if one would be too small or due when the first class of the order has
    ended."""
    amounts = split_cents(total_cents, parts=parts, deposit_bps=deposit_bps)
    days = due_dates(first_on, interval=interval, parts=parts)
    if parts > 1 and (min(amounts) < settings.MINIMUM_INSTALLMENT_CENTS or days[-1] >= ends_on):
        return None
    return [
        Part(number, due_on, amount_cents)
        for number, (due_on, amount_cents) in enumerate(zip(days, amounts, strict=True), start=1)
    ]
