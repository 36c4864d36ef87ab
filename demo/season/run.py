"""One season from its opening day to its proof."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from billing.management.demo_data import load_demo_data
from billing.models import PaymentPlan
from csf.models import StaffTask
from csf.money import money_text
from demo.journey.system import DATA
from demo.season import faults, office, proof, school
from demo.season.characters import CHARACTERS, Shopper
from demo.season.clock import moved_to
from demo.season.family import Family
from demo.season.faults import Faults
from demo.season.proof import Difference
from demo.season.season import Season
from demo.season.visitor import Visitor
from demo.season.world import Mail, Stripe, calm, open_world
from enrollments.models import User

OPENS_ON, OPENS_AT = date(2027, 1, 11), time(9)
HEALING = timedelta(days=4)  # Stripe's events are fetched for three days


@dataclass(frozen=True)
class Result:
    families: int
    places: int
    paid_cents: int
    payments: int
    refunded_cents: int
    emails: dict[str, int]
    open_tasks: dict[str, int]
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        emails = ", ".join(f"{number} {kind}" for kind, number in self.emails.items())
        tasks = ", ".join(f"{number} {kind}" for kind, number in self.open_tasks.items()) or "none"
        verdict = f"{len(self.differences)} differences:" if self.differences else "Everything adds up."
        return [
            f"  {self.families} families, {self.places} places",
            f"  {money_text(self.paid_cents)} in {self.payments} payments",
            f"  {money_text(self.refunded_cents)} refunded",
            f"  {sum(self.emails.values())} emails: {emails}",
            f"  open staff tasks: {tasks}",
            "",
            verdict,
            *(f"  {difference.text} {difference.link}" for difference in self.differences),
        ]


def run(families: int, weeks: int, seed: int, *, has_faults: bool, show: bool) -> Result:
    opens_at = datetime.combine(OPENS_ON, OPENS_AT, ZoneInfo(settings.SCHOOL_TIME_ZONE)).astimezone(UTC)
    key = json.loads((DATA / "secrets.json").read_text())["event_private_key"]
    trouble = Faults(Random(seed)) if has_faults else faults.NONE  # noqa: S311 - repeatable, not a secret
    with moved_to(opens_at - timedelta(hours=12)) as clock, open_world(key, trouble) as (stripe, mail):
        _open_school(seed)
        season = Season(clock, stripe, mail, trouble)
        clock.move_to(opens_at)

        def show_day(at: datetime) -> None:
            if show:
                _progress(at, people, mail)

        people = _invite(season, families, weeks, seed, opens_at)
        until = opens_at + timedelta(weeks=weeks)
        season.live(until - HEALING, show_day)
        calm(stripe, mail)
        season.live(until, show_day)
        found = proof.differences(people, stripe, mail, until=until)
        return _result(people, stripe, mail, found)


def _open_school(seed: int) -> None:
    load_demo_data(on=OPENS_ON, families=0, seed=seed)
    for parts in (3, 4):
        PaymentPlan.objects.create(name=f"In {parts} monthly payments", parts=parts)


def _invite(season: Season, families: int, weeks: int, seed: int, opens_at: datetime) -> list[Family]:
    """Each family has dice of its own, so that one more changes nothing for the others."""
    catalog = school.read_catalog(Visitor(0))
    people = []
    for number in range(1, families + 1):
        dice = Random(seed * 1_000_000 + number)  # noqa: S311 - a repeatable season, not a secret
        family = school.create_family(number, dice, OPENS_ON, season.stripe, season.mail)
        [live] = dice.choices([*CHARACTERS], [*CHARACTERS.values()])
        shopper = Shopper(family, season.clock, dice, catalog)
        season.begin(live(shopper), school.comes_at(dice, opens_at, weeks))
        people.append(family)
    staff = User.objects.get(email="office@example.org")
    season.begin(office.approves_refunds(season.clock.now, staff), opens_at)
    season.begin(office.snow_day(season.clock.now, staff, people), opens_at)
    return people


def _progress(at: datetime, people: list[Family], mail: Mail) -> None:
    there = sum(1 for family in people if family.hears)
    emails = sum(len(rows) for rows in mail.by_address.values())
    print(f"\r  {at:%a %b %d}: {there} families, {emails} emails ", end="", flush=True)


def _result(people: list[Family], stripe: Stripe, mail: Mail, found: list[Difference]) -> Result:
    books = stripe.server.books()
    paid = [row["amount_cents"] for row in books["charges"] if row["succeeded"]]
    emails: Counter[str] = Counter(row.kind for rows in mail.by_address.values() for row in rows)
    return Result(
        families=sum(1 for family in people if family.hears),
        places=sum(len(family.places) for family in people),
        paid_cents=sum(paid),
        payments=len(paid),
        refunded_cents=sum(row["amount_cents"] for row in books["refunds"]),
        emails=dict(sorted(emails.items())),
        open_tasks=dict(sorted(Counter(map(str, StaffTask.objects.open())).items())),
        differences=found,
    )
