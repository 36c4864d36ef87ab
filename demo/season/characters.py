"""How families live through a season. Each life is a story that pauses: `yield` says for how long."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random

from demo.season.clock import Clock
from demo.season.family import Child, Family, Offer, Place, local, school_time

VISA, ANOTHER = "4242424242424242", "4000000000007726"
Life = Generator[timedelta, None, None]


@dataclass
class Shopper:
    """A family with what it needs to decide: the clock, its dice, and the catalog as it reads it."""

    family: Family
    clock: Clock
    dice: Random
    catalog: list[Offer]

    def now(self) -> datetime:
        return self.clock.now()

    def minutes(self, least: int, most: int) -> timedelta:
        return timedelta(seconds=self.dice.randint(least * 60, most * 60))

    def joins(self) -> Life:
        self.family.sign_up(self.now())
        yield self.minutes(1, 4)
        self.family.confirm_address(self.now())
        for child in self.family.children:
            yield self.minutes(1, 3)
            self.family.add_child(child)

    def chooses(self) -> list[Place]:
        """Put a class for each child into the cart."""
        taken = []
        for child in self.family.children:
            fitting = [offer for offer in self.catalog if fits(child, offer)]
            self.dice.shuffle(fitting)
            found = next((offer for offer in fitting if self.family.put_in_cart(child, offer)), None)
            if found:
                taken.append((child, found))
        return taken

    def orders(self, *, parts: int = 1) -> Generator[timedelta, None, tuple[str, list[Place]]]:
        """Returns the payment page, "" if there was no place."""
        yield self.minutes(2, 10)
        taken = self.chooses()
        page = self.family.order(self.now(), parts=parts) if taken else ""
        yield self.minutes(1, 5)
        return page, taken

    def buys(self, *, parts: int = 1) -> Generator[timedelta, None, bool]:
        page, taken = yield from self.orders(parts=parts)
        return bool(page) and self.family.pay(page, VISA, self.now(), taken=taken)

    def until(self, day: date, clock: time) -> timedelta:
        return max(school_time(day, clock) - self.now(), timedelta())


def fits(child: Child, offer: Offer) -> bool:
    least, most = offer.ages
    return least <= child.age_on(offer.first_on) <= most


def pays_in_full(shopper: Shopper) -> Life:
    yield from shopper.joins()
    yield from shopper.buys()


def pays_in_parts(shopper: Shopper) -> Life:
    yield from shopper.joins()
    yield from shopper.buys(parts=shopper.dice.choice([2, 3, 4]))


def runs_short(shopper: Shopper) -> Life:
    """The card lacks the money for the second part, and has it three days later."""
    yield from shopper.joins()
    yield from shopper.buys(parts=3)
    later = [due for due in shopper.family.agreed if due.on > local(shopper.now()).date()]
    if later:
        yield shopper.until(later[0].on - timedelta(days=1), time(20))
        shopper.family.runs_short(later[0])


def loses_card(shopper: Shopper) -> Life:
    """It is charged in vain; the family pays by the link in the email, and saves another card."""
    family = shopper.family
    yield from shopper.joins()
    yield from shopper.buys(parts=4)
    later = [due for due in family.agreed if due.on > local(shopper.now()).date()]
    if later:
        yield shopper.until(later[0].on - timedelta(days=1), time(20))
        family.loses_card(later[0], shopper.now())
        yield shopper.until(later[0].on, time(18))
        family.pays_by_link(later[0], ANOTHER, shopper.now())
        yield shopper.minutes(5, 30)
        family.saves_card(ANOTHER)


def leaves_and_comes_back(shopper: Shopper) -> Life:
    yield from shopper.joins()
    page, _ = yield from shopper.orders()
    if page:
        shopper.family.leaves_unpaid(shopper.now())
    yield timedelta(hours=shopper.dice.randint(20, 60))
    yield from shopper.buys()


def cancels(shopper: Shopper) -> Life:
    """One of its places, while the full price still comes back."""
    yield from shopper.joins()
    if (yield from shopper.buys()):
        yield timedelta(days=shopper.dice.randint(1, 9), minutes=shopper.dice.randint(0, 600))
        shopper.family.cancel(shopper.dice.choice(shopper.family.places), shopper.now())


def disputes(shopper: Shopper) -> Life:
    """Its bank takes the money back after some weeks, and gives it to one side a month later."""
    yield from shopper.joins()
    if (yield from shopper.buys()):
        yield timedelta(days=shopper.dice.randint(10, 20))
        dispute = shopper.family.disputes()
        yield timedelta(days=30)
        shopper.family.stripe.decide(dispute, shopper.dice.choice(["won", "lost"]))


CHARACTERS: dict[Callable[[Shopper], Life], float] = {
    pays_in_full: 0.35,
    pays_in_parts: 0.25,
    runs_short: 0.1,
    loses_card: 0.05,
    leaves_and_comes_back: 0.1,
    cancels: 0.1,
    disputes: 0.05,
}
