"""Three families at the checkout: one pays and is reminded before its classes start, one is declined and then
pays, one gives up."""

import re
import time
from datetime import date, datetime, timedelta

from demo.journey.family import Family, World, short

VISA, NO_MONEY = "4242424242424242", "4000000000009995"
PROMO_CODE = "WELCOME10"


def play(world: World) -> list[Family]:
    return [pays(world), is_declined_and_pays(world), gives_up(world)]


def pays(world: World) -> Family:
    family = Family("Rivera", world)
    family.sign_up()
    family.add_child("Nora", age=8)
    family.add_child("Theo", age=5)
    family.add_to_cart("football-foundations", "Nora")
    family.add_to_cart("mini-kickers", "Theo")
    family.browser.submit("/cart/", {"code": PROMO_CODE})
    page = family.place_order()
    family.pay(page, VISA, enrolled=[("Nora", "Football Foundations"), ("Theo", "Mini Kickers")])
    family.await_expected()
    _reminds(world, family, ["Football Foundations", "Mini Kickers"])
    return family


def _reminds(world: World, family: Family, courses: list[str]) -> None:
    """The daily job of the day before. Both classes start on the same Sunday, and no others do."""
    on = _first_day(family, "football-foundations") - timedelta(days=1)
    began_at = time.time()
    answer = world.manage("send_class_reminders", "--date", on.isoformat()).strip()
    print(f"    manage.py {answer}", flush=True)
    if not answer.endswith("nothing to do"):  # an earlier journey has run it for this day
        for course in courses:
            family.note(
                f"{short(on)}: {course} starts tomorrow", "class_starts_soon", names=course, at=began_at
            )


def _first_day(family: Family, slug: str) -> date:
    page = family.browser.get(f"/classes/{slug}/")
    first = re.search(r"<dt>First day</dt><dd>(\w+, \w+ \d+, \d+)</dd>", page)
    assert first, "the class page does not say when the class starts"
    return datetime.strptime(first[1], "%a, %b %d, %Y").date()  # noqa: DTZ007 - a day of the school


def is_declined_and_pays(world: World) -> Family:
    family = Family("Okonkwo", world)
    family.sign_up()
    family.add_child("Ada", age=8)
    family.add_to_cart("street-dance", "Ada")
    page = family.place_order()
    family.browser.send(page, {"card": NO_MONEY})
    family.pay(page, VISA, enrolled=[("Ada", "Street Dance")])
    family.unexpected.append("payment_failed")
    return family


def gives_up(world: World) -> Family:
    family = Family("Lindqvist", world)
    family.sign_up()
    family.add_child("Elsa", age=8)
    family.add_to_cart("dolphin-swim", "Elsa")
    page = family.place_order()
    family.note("the card is declined, and they give up", "payment_failed")
    family.browser.send(page, {"card": NO_MONEY})
    return family
