"""What an order costs and why: list price, sibling discount, promo code, in this order, never below zero.

The arithmetic is pure and knows no rows, so that cart, checkout and tests price alike.
"""

import datetime
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils.translation import gettext, gettext_lazy

from csf.money import money_text, share_cents

SIBLING_DISCOUNTS = [
    gettext_lazy("Sibling discount, 1st child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 2nd child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 3rd child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 4th or later child (%(percent)s%%)"),
]


@dataclass(frozen=True)
class Line:
    """One child in one class, at its list price."""

    key: int
    child_id: int
    born_on: datetime.date
    course_id: int
    list_cents: int


@dataclass(frozen=True)
class Promo:
    """A promo code as it applies to one household: `courses` are those it is meant for and not used on
    yet."""

    code: str
    percent_bps: int
    amount_cents: int
    courses: frozenset[int]


@dataclass(frozen=True)
class Price:
    """A line's price with its reductions in cents. `sibling_rank` is 1 for the child that pays in full."""

    list_cents: int
    sibling_rank: int = 1
    sibling_cents: int = 0
    promo_code: str = ""
    promo_cents: int = 0

    @property
    def net_cents(self) -> int:
        return self.list_cents - self.sibling_cents - self.promo_cents

    @property
    def explanation(self) -> list[dict[str, str | int]]:
        """Each reduction in words with its cents, to be stored with the order."""
        reductions: list[dict[str, str | int]] = []
        if self.sibling_cents:
            discount = SIBLING_DISCOUNTS[min(self.sibling_rank, len(SIBLING_DISCOUNTS)) - 1]
            label = discount % {"percent": f"{sibling_bps(self.sibling_rank) / 100:g}"}
            reductions.append({"label": label, "cents": self.sibling_cents})
        if self.promo_cents:
            label = gettext("Promo code %(code)s") % {"code": self.promo_code}
            reductions.append({"label": label, "cents": self.promo_cents})
        return reductions


def sibling_bps(rank: int) -> int:
    """The discount in basis points for the household's first, second, third ... child in classes."""
    steps: list[int] = settings.SIBLING_DISCOUNT_BPS
    return steps[min(rank, len(steps)) - 1]


def price_lines(lines: Collection[Line], *, enrolled: Sequence[int], promo: Promo | None) -> dict[int, Price]:
    """The price of each line by its key. The order in which lines are given does not matter.

    `enrolled` are the household's children with a live enrollment, by their first one: they rank before the
    children who are new in this order, of whom the one with the dearest line comes first.
    """
    ranks = _sibling_ranks(lines, enrolled)
    prices = {
        line.key: Price(
            line.list_cents,
            sibling_rank=ranks[line.child_id],
            sibling_cents=share_cents(line.list_cents, sibling_bps(ranks[line.child_id])),
        )
        for line in lines
    }
    return _with_promo(lines, prices, promo) if promo else prices


def _sibling_ranks(lines: Iterable[Line], enrolled: Sequence[int]) -> dict[int, int]:
    by_dearest = sorted(lines, key=lambda line: (-line.list_cents, line.born_on, line.child_id))
    ranked = list(dict.fromkeys([*enrolled, *(line.child_id for line in by_dearest)]))
    return {child_id: rank for rank, child_id in enumerate(ranked, start=1)}


def _with_promo(lines: Iterable[Line], prices: dict[int, Price], promo: Promo) -> dict[int, Price]:
    """One use for a class: of several lines in it the dearest is reduced. A fixed amount is taken off
    once."""
    dearest_first = sorted(lines, key=lambda line: (-prices[line.key].net_cents, line.born_on, line.child_id))
    chosen: dict[int, int] = {}
    for line in dearest_first:
        if line.course_id in promo.courses:
            chosen.setdefault(line.course_id, line.key)
    left_cents = promo.amount_cents
    reduced = dict(prices)
    for key in chosen.values():
        net_cents = prices[key].net_cents
        cents = share_cents(net_cents, promo.percent_bps) if promo.percent_bps else min(left_cents, net_cents)
        left_cents -= cents
        reduced[key] = replace(prices[key], promo_code=promo.code, promo_cents=cents)
    total_cents = sum(price.net_cents for price in reduced.values())
    if (
        0 < total_cents < settings.MINIMUM_CHARGE_CENTS
    ):  # Stripe cannot take so little: the code covers it too
        for key in chosen.values():
            price = reduced[key]
            reduced[key] = replace(price, promo_cents=price.promo_cents + price.net_cents)
    return reduced


def describe_promo(*, percent_bps: int, amount_cents: int) -> str:
    return f"{percent_bps / 100:g}% off" if percent_bps else f"{money_text(amount_cents)} off"
