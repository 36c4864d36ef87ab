"""The school whose season it is: its classes as the catalog shows them, and the families that come."""

import re
from datetime import date, datetime, timedelta
from html import unescape
from random import Random

from demo.season.family import Child, Family, Offer, day_of
from demo.season.visitor import Visitor
from demo.season.world import Mail, Stripe

FIRST_NAMES = (
    "Ada Ben Clara Dev Elif Finn Grace Hugo Isla Jonas Kira Leo Maya Noah Olive Priya Rosa Sam".split()
)
PARENTS = (
    "Alex Brook Casey Dana Eden Frankie Glenn Harper Indra Jamie Kim Lou Morgan Nic Pat Robin Toni".split()
)
SURNAMES = """
    Alvarez Bennett Chen Dubois Eriksen Fraser Garcia Haddad Ito Jensen Kowalski Larsen Mbeki Novak
    Okafor Patel Quinn Rossi Silva Tanaka Usman Vega Weber Young Zhou
""".split()
AGES = re.compile(r"<dt>For</dt><dd>Ages? (\d+)(?:\D(\d+))?")
FIRST_DAY = re.compile(r"<dt>First day</dt><dd>(\w+, \w+ \d+, \d+)</dd>")
TITLE = re.compile(r"<h1[^>]*>([^<]+)<")


def read_catalog(visitor: Visitor) -> list[Offer]:
    slugs = sorted(set(re.findall(r'href="/classes/([\w-]+)/"', visitor.get("/").text)))
    return [_offer(slug, visitor.get(f"/classes/{slug}/").text) for slug in slugs]


def _offer(slug: str, page: str) -> Offer:
    ages, first, title = AGES.search(page), FIRST_DAY.search(page), TITLE.search(page)
    if not (ages and first and title):
        raise LookupError(f"the page of {slug} does not say for whom and when")
    return Offer(slug, unescape(title[1]).strip(), (int(ages[1]), int(ages[2] or ages[1])), day_of(first[1]))


def create_family(number: int, dice: Random, on: date, stripe: Stripe, mail: Mail) -> Family:
    names = dice.sample(FIRST_NAMES, dice.choices([1, 2, 3], [5, 4, 1])[0])
    children = [Child(name, on - timedelta(days=dice.randint(3 * 366, 13 * 365))) for name in names]
    return Family(number, dice.choice(SURNAMES), dice.choice(PARENTS), children, stripe, mail)


def comes_at(dice: Random, opens_at: datetime, weeks: int) -> datetime:
    """A third on the first day, most within the hour; the others until after the first classes, by day."""
    if dice.random() < 1 / 3:
        return opens_at + timedelta(minutes=dice.expovariate(1 / 60))
    days = min(dice.expovariate(1 / 10), 7 * min(weeks, 5))
    return opens_at + timedelta(days=int(days) + 1, minutes=dice.randint(-120, 720))
