"""What an order costs and why: list price, less sessions that have begun, sibling discount and promo code.

They are taken off in this order, and no price falls below zero.

The arithmetic is pure and uses no rows, so that cart, checkout and tests calculate alike.
"""

import datetime
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils.translation import gettext, gettext_lazy

from csf.money import money_text, percent_text, pro_rata_cents, share_cents

SIBLING_DISCOUNTS = [
    gettext_lazy("Sibling discount, 1st child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 2nd child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 3rd child (%(percent)s%%)"),
    gettext_lazy("Sibling discount, 4th or later child (%(percent)s%%)"),
]


@dataclass(frozen=True)
class Line:
    """One child in one class, at its list price. A late joiner gets `sessions_left` of its `sessions`."""

    key: int
    child_id: int
    born_on: datetime.date
    course_id: int
    list_cents: int
    sessions_left: int = 1
    sessions: int = 1

    @property
    def begun_cents(self) -> int:
        """The share of the sessions that have begun, which a late joiner does not pay."""
        return self.list_cents - pro_rata_cents(self.list_cents, self.sessions_left, self.sessions)


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
    sessions_left: int = 1
    sessions: int = 1
    begun_cents: int = 0
    sibling_rank: int = 1
    sibling_cents: int = 0
    promo_code: str = ""
    promo_cents: int = 0

    @property
    def net_cents(self) -> int:
        return self.list_cents - self.begun_cents - self.sibling_cents - self.promo_cents

    def reduced_to_nothing(self) -> "Price":
        """With its last reduction raised until nothing is left to pay; unchanged if it has none."""
        for name in ("promo_cents", "sibling_cents", "begun_cents"):
            if cents := getattr(self, name):
                return replace(self, **{name: cents + self.net_cents})
        return self

    @property
    def explanation(self) -> list[dict[str, str | int]]:
        """Each reduction in words with its cents, to be stored with the order."""
        reductions: list[dict[str, str | int]] = []
        if self.begun_cents:
            left = {"left": self.sessions_left, "sessions": self.sessions}
            label = gettext("Already started: %(left)s of %(sessions)s sessions left") % left
            reductions.append({"label": label, "cents": self.begun_cents})
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


def price_lines(lines: Collection[Line], *, paid: Sequence[int], promo: Promo | None) -> dict[int, Price]:
    """The price of each line by its key. The order of the lines does not matter.

    `paid` are the household's children with a place that is paid for, by their first one: they rank before
    the children who are new in this order, of whom the one with the most expensive line comes first.
    """
    ranks = _sibling_ranks(lines, paid)
    prices = {line.key: _price(line, rank=ranks[line.child_id]) for line in lines}
    if promo:
        prices = _with_promo(lines, prices, promo)
    return _chargeable(prices)


def _price(line: Line, *, rank: int) -> Price:
    return Price(
        line.list_cents,
        sessions_left=line.sessions_left,
        sessions=line.sessions,
        begun_cents=line.begun_cents,
        sibling_rank=rank,
        sibling_cents=share_cents(line.list_cents - line.begun_cents, sibling_bps(rank)),
    )


def _sibling_ranks(lines: Iterable[Line], paid: Sequence[int]) -> dict[int, int]:
    by_price = sorted(
        lines, key=lambda line: (line.begun_cents - line.list_cents, line.born_on, line.child_id)
    )
    ranked = list(dict.fromkeys([*paid, *(line.child_id for line in by_price)]))
    return {child_id: rank for rank, child_id in enumerate(ranked, start=1)}


def _chargeable(prices: dict[int, Price]) -> dict[int, Price]:
    """A total too small for Stripe is waived: whatever reduced a line covers the rest of it."""
    total_cents = sum(price.net_cents for price in prices.values())
    if total_cents >= settings.MINIMUM_CHARGE_CENTS:
        return prices
    return {key: price.reduced_to_nothing() for key, price in prices.items()}


def _with_promo(lines: Iterable[Line], prices: dict[int, Price], promo: Promo) -> dict[int, Price]:
    """One use for a class: of several lines in it the most expensive is reduced. A fixed amount is taken off
    once."""
    highest_first = sorted(lines, key=lambda line: (-prices[line.key].net_cents, line.born_on, line.child_id))
    chosen: dict[int, int] = {}
    for line in highest_first:
        if line.course_id in promo.courses:
            chosen.setdefault(line.course_id, line.key)
    left_cents = promo.amount_cents
    reduced = dict(prices)
    for key in chosen.values():
        net_cents = prices[key].net_cents
        cents = share_cents(net_cents, promo.percent_bps) if promo.percent_bps else min(left_cents, net_cents)
        left_cents -= cents
        reduced[key] = replace(prices[key], promo_code=promo.code, promo_cents=cents)
    return reduced


def sibling_rule() -> str:
    """The sibling discount in one sentence, for pages that announce it; empty if there is none."""
    steps = [percent_text(bps) for bps in settings.SIBLING_DISCOUNT_BPS[1:] if bps]
    children = [
        gettext("%(percent)s for the second child"),
        gettext("%(percent)s for the third"),
        gettext("%(percent)s for the fourth and later"),
    ]
    offers = [words % {"percent": percent} for words, percent in zip(children, steps, strict=False)]
    if not offers:
        return ""
    return gettext("Sibling discount: %(offers)s.") % {"offers": ", ".join(offers)}


def describe_promo(*, percent_bps: int, amount_cents: int) -> str:
    return f"{percent_bps / 100:g}% off" if percent_bps else f"{money_text(amount_cents)} off"
