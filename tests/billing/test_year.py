"""A year of daily jobs under a moving clock: every reminder, charge and notice once, on its local date.

The product's own schedules say when a job runs. The bank is in this process, and whatever it is asked, every
email and every task for staff goes to a log with the school's date of that moment.
"""

import datetime
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import Schedule

from billing.checkout.place_order import place_order
from billing.installments import attempts
from billing.installments.outcomes import Paid
from billing.models import ChargeAttempt, Installment, Payment, PaymentPlan
from billing.plan_schedule import due_dates
from billing.stripe import gateway
from csf.dates import local_date
from csf.jobs.declared import jobs
from csf.jobs.schedules import next_slot, sync_schedules
from csf.models import JobRun, StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from tests.factories import create_card, create_cart, create_course, create_household

pytestmark = pytest.mark.django_db

DAY, MIDNIGHT = timedelta(days=1), datetime.time(0, 0)
BEGIN, DAYS = date(2027, 9, 20), 400
DUNNING, OVERDUE, LATEST = (0, 3, 7, 14), (3, 7, 14), 3
DAILY = {
    "send_installment_reminders",
    "send_card_notices",
    "charge_due_installments",
    "retry_failed_payments",
    "process_overdue_installments",
}
CHARGING = {"charge_due_installments", "retry_failed_payments"}
# Both changes of the clock within the 400 days; a local date there has 23, 25, 23.5 or 24.5 hours.
CLOCK_CHANGES = {
    "America/New_York": [date(2027, 11, 7), date(2028, 3, 12)],
    "Australia/Lord_Howe": [date(2027, 10, 3), date(2028, 4, 2), date(2028, 10, 1)],
    "Pacific/Auckland": [date(2027, 9, 26), date(2028, 4, 2), date(2028, 9, 24)],
}


@dataclass(frozen=True)
class Outage:
    """Nothing runs on the dates from `first_on` to the day before `until_on`, and on that not before
    `until`."""

    first_on: date
    days: int
    until: datetime.time = datetime.time(12, 0)

    @property
    def until_on(self) -> date:
        return self.first_on + self.days * DAY


@dataclass
class Family:
    """One order in parts. `answers` are the bank's to the charges of each part, the last for all later
    ones."""

    first_on: date
    interval: str
    parts: int
    answers: tuple[str, ...] = ("ok",)
    card_ends: date | None = None
    due_on: dict[int, date] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)

    def answer(self, number: int) -> str:
        tried = self.asked.get(number, 0)
        self.asked[number] = tried + 1
        return self.answers[min(tried, len(self.answers) - 1)]


def families(zone: str) -> list[Family]:
    """Parts due on month ends, on 29 February, on the days of the clock changes and three days after them."""
    sundays = CLOCK_CHANGES[zone]
    return [
        Family(date(2027, 9, 30), "monthly", 12),
        Family(date(2027, 10, 31), "monthly", 7, answers=("insufficient_funds", "do_not_honor", "ok")),
        Family(sundays[0] - 7 * DAY, "weekly", 12),
        Family(sundays[1] + 3 * DAY - 14 * DAY, "biweekly", 8),
        Family(date(2027, 10, 30), "monthly", 5, answers=("insufficient_funds",)),
        Family(date(2027, 12, 31), "monthly", 3, card_ends=date(2028, 2, 29)),
    ]


class Year:
    """The product on its schedules, from BEGIN on, with the clock in the test's hand."""

    def __init__(self, zone: str, clock: Any) -> None:
        self.zone, self.clock = ZoneInfo(zone), clock
        self.log: list[tuple[int, int, str, date]] = []  # family, part, what, when
        self.families: dict[int, Family] = {}  # by order
        self.fired: list[tuple[str, date, datetime.time]] = []
        self.seen_email = self.seen_task = 0

    def at(self, day: date, clock: datetime.time) -> datetime.datetime:
        return datetime.datetime.combine(day, clock, tzinfo=self.zone).astimezone(UTC)

    def register(self, family: Family) -> None:
        self.clock.move_to(self.at(family.first_on, datetime.time(21, 40)))
        plan, _ = PaymentPlan.objects.get_or_create(
            name=f"{family.parts} {family.interval}", parts=family.parts, interval=family.interval
        )
        household = create_household()
        course = create_course(ends_on=family.first_on + 420 * DAY)
        order = create_cart(household=household, courses=[course])
        now = timezone.now()
        place_order(order=order, by=household.guardians.get(), now=now, plan=plan)
        first = order.installments.get(number=1)
        first.start_charging()
        first.pay(reason="at checkout")
        Payment.objects.create(
            order=order,
            installment=first,
            amount_cents=first.amount_cents,
            currency="usd",
            stripe_payment_intent_id=f"pi_{first.pk}",
            received_at=now,
        )
        order.confirm(reason="paid")
        ends = family.card_ends or date(2040, 12, 31)
        create_card(order, exp_month=ends.month, exp_year=ends.year)
        family.due_on = {part.number: part.due_on for part in order.installments.all()}
        self.families[order.pk] = family

    def pay(self, attempt: ChargeAttempt) -> Paid:
        """In place of Stripe and the bank."""
        part = attempt.installment
        self.note(part, "charge")
        answer = self.families[part.order_id].answer(part.number)
        if answer != "ok":
            raise gateway.Declined({"code": "card_declined", "decline_code": answer})
        invoice = {
            "id": f"in_{part.pk}",
            "status": "paid",
            "amount_paid": attempt.amount_cents,
            "currency": attempt.currency,
            "created": int(timezone.now().timestamp()),
            "metadata": {"installment": str(part.public_id)},
        }
        return Paid(invoice)

    def note(self, part: Installment, what: str) -> None:
        names = list(self.families)
        entry = (names.index(part.order_id), part.number, what, local_date(timezone.now()))
        self.log.append(entry)

    def run(self, name: str) -> None:
        """The job as a worker runs it, and the charges that it woke."""
        import_string(jobs()[name].task)()
        if name in CHARGING:
            for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
                attempts.run_attempt(attempt_id)

    def look(self) -> None:
        """Note what was owed to parents and staff since the last look."""
        for email in EmailMessage.objects.filter(pk__gt=self.seen_email).order_by("pk"):
            self.seen_email = email.pk
            self.note(self._part_of(email), email.kind)
        for task in StaffTask.objects.filter(pk__gt=self.seen_task).order_by("pk"):
            self.seen_task = task.pk
            model, key = task.subject.split(":")
            if model == "billing.installment":
                self.note(Installment.objects.get(pk=key), task.kind)

    def _part_of(self, email: EmailMessage) -> Installment:
        told = email.context["missed"][0] if "missed" in email.context else email.context
        parts = Installment.objects.filter(order__number=told["order_number"])
        return parts.get(number=told["number"]) if "number" in told else parts.get(due_on=told["due_on"])

    def live(self, outages: list[Outage], *, days: int = DAYS, twice: bool = False) -> None:
        """Each schedule fires at its time, once more at once if `twice`, and after an outage once for all
        that it missed."""
        self.clock.move_to(self.at(BEGIN, MIDNIGHT))
        sync_schedules()
        rows = [row for row in Schedule.objects.all() if row.name.removeprefix("csf:") in DAILY]
        end = self.at(BEGIN + days * DAY, MIDNIGHT)
        while (row := min(rows, key=lambda row: (row.next_run, row.pk))).next_run < end:
            now = self._up_again(row.next_run + timedelta(seconds=20), outages)
            if local_date(now) != local_date(timezone.now()):
                self.look()
            self.clock.move_to(now)
            name, local = row.name.removeprefix("csf:"), now.astimezone(self.zone)
            self.fired.append((name, local.date(), local.time()))
            for _ in range(1 + twice):
                self.run(name)
            row.next_run = next_slot(name, now)
        self.look()

    def _up_again(self, now: datetime.datetime, outages: list[Outage]) -> datetime.datetime:
        for outage in outages:
            if self.at(outage.first_on, MIDNIGHT) <= now:
                now = max(now, self.at(outage.until_on, outage.until))
        return now


# --- What should come of it, worked out from the due dates alone --------------------------------------------


def expected(year: Year, outages: list[Outage], *, days: int = DAYS) -> list[tuple[int, int, str, date]]:
    down = {outage.first_on + n * DAY for outage in outages for n in range(outage.days)}

    def runs(day: date) -> date:
        """The first date from then on at which a job runs."""
        while day in down:
            day += DAY
        return day

    end, story = BEGIN + days * DAY, []
    for index, family in enumerate(year.families.values()):
        for number, due_on in family.due_on.items():
            if number > 1:
                told = (*_before(family, due_on, runs), *_from_then_on(family, due_on, runs))
                story += [(index, number, what, day) for what, day in told if BEGIN <= day < end]
    return sorted(story)


def _before(family: Family, due_on: date, runs: Callable[[date], date]) -> Iterator[tuple[str, date]]:
    remind_on = runs(due_on - 3 * DAY)
    if remind_on < due_on:
        yield "installment_reminder", remind_on
    if family.card_ends and due_on > family.card_ends:
        for days, until in ((30, 7), (7, 0)):
            notice_on = runs(due_on - days * DAY)
            if notice_on < due_on - until * DAY:
                yield "card_expiring", notice_on


def _from_then_on(family: Family, due_on: date, runs: Callable[[date], date]) -> Iterator[tuple[str, date]]:
    day = runs(due_on)
    if day - due_on > LATEST * DAY:
        yield "installment_late", day
        return
    if family.card_ends and day > family.card_ends:  # it is not asked
        yield "card_needed", day
        for days, end in zip(OVERDUE, (7, 14, 99), strict=True):
            notice_on = runs(due_on + days * DAY)
            made_up = min(due_on + (days + LATEST) * DAY, due_on + (end - 1) * DAY)
            if day < due_on + days * DAY and notice_on <= made_up:
                yield "overdue_notice", notice_on
        return
    for tried in range(len(DUNNING)):
        yield "charge", day
        if family.answers[min(tried, len(family.answers) - 1)] == "ok":
            yield "payment_success", day
            return
        yield "payment_failed", day
        following = [due_on + days * DAY for days in DUNNING if due_on + days * DAY > day]
        if not following:
            yield "installment_exhausted", day
            return
        day = runs(following[0])


# --- The years ----------------------------------------------------------------------------------------------


@pytest.fixture
def year(request, settings, monkeypatch):
    settings.SCHOOL_TIME_ZONE = settings.TIME_ZONE = request.param
    with time_machine.travel(datetime.datetime(2027, 9, 1, tzinfo=UTC), tick=False) as clock:
        year = Year(request.param, clock)
        monkeypatch.setattr(attempts, "_charge", year.pay)
        yield year


def begin(year: Year, those: list[Family]) -> None:
    for family in those:
        year.register(family)
    year.seen_email = EmailMessage.objects.latest("pk").pk


CHAOS = pytest.mark.chaos


@pytest.mark.parametrize(
    "year",
    [
        "America/New_York",
        pytest.param("Australia/Lord_Howe", marks=CHAOS),
        pytest.param("Pacific/Auckland", marks=CHAOS),
    ],
    indirect=True,
)
def test_a_year_in_which_nothing_fails(year):
    begin(year, families(str(year.zone)))

    year.live([])

    assert sorted(year.log) == expected(year, [])
    dates = [BEGIN + n * DAY for n in range(DAYS)]
    assert sorted((name, day) for name, day, _ in year.fired) == sorted(itertools.product(DAILY, dates))
    assert {(name, time.hour) for name, _, time in year.fired} == {
        (name, jobs()[name].at.hour) for name in DAILY
    }
    acted_on = {day for _, _, what, day in year.log if what in {"charge", "installment_reminder"}}
    assert {*CLOCK_CHANGES[str(year.zone)][:2], date(2028, 2, 29)} <= acted_on
    assert violations() == []


OUTAGES = [
    Outage(date(2027, 10, 30), 1, datetime.time(23, 50)),
    Outage(date(2027, 11, 30), 1, datetime.time(3, 17)),
    Outage(date(2028, 2, 27), 3, datetime.time(0, 5)),  # with a day that was due on 29 February
    Outage(date(2028, 3, 30), 10),
]
OUTAGE_DAYS = 208


@pytest.mark.parametrize(
    "year",
    [
        "Australia/Lord_Howe",
        pytest.param("America/New_York", marks=CHAOS),
        pytest.param("Pacific/Auckland", marks=CHAOS),
    ],
    indirect=True,
)
def test_what_a_year_with_outages_makes_up_for(year):
    """In one pass: charges up to three days late, older ones to staff, no reminder once it is due."""
    begin(year, families(str(year.zone)))

    year.live(OUTAGES, days=OUTAGE_DAYS)

    assert sorted(year.log) == expected(year, OUTAGES, days=OUTAGE_DAYS)
    kinds = Counter(what for _, _, what, _ in year.log)
    assert kinds["installment_late"] > 0
    late = {day for _, _, what, day in year.log if what == "charge"} & {out.until_on for out in OUTAGES}
    assert len(late) > 2
    covered = JobRun.objects.filter(covered_by__isnull=False, job="charge_due_installments")
    assert covered.count() == sum(outage.days for outage in OUTAGES)
    assert StaffTask.objects.filter(kind="job_silent").count() == len(DAILY)
    assert violations() == []


@pytest.mark.parametrize(
    ("year", "change"),
    [
        (zone, change)
        for zone in ("America/New_York", "Australia/Lord_Howe")
        for change in CLOCK_CHANGES[zone][:2]
    ],
    indirect=["year"],
)
def test_jobs_that_run_each_hour_while_the_clock_changes_do_nothing_twice(year, change):
    begin(year, [Family(change - 7 * DAY, "weekly", 2), Family(change - 4 * DAY, "weekly", 2)])
    midnight = year.at(change, MIDNIGHT)

    for hour in range(26):  # hours that really pass
        year.clock.move_to(midnight + timedelta(hours=hour))
        for name in DAILY:
            year.run(name)
        year.look()

    assert sorted(year.log) == [
        (0, 2, "charge", change),
        (0, 2, "payment_success", change),
        (1, 2, "installment_reminder", change),
    ]
    assert set(JobRun.objects.values_list("job", "on")) == {
        (name, day) for name in DAILY for day in (change, change + DAY)
    }


@pytest.mark.chaos
@pytest.mark.parametrize("year", [*CLOCK_CHANGES], indirect=True)
@pytest.mark.parametrize("seed", range(5))
def test_any_families_and_any_outages(year, seed):
    dice = random.Random(seed)
    answers = ["ok", "insufficient_funds", "do_not_honor", "processing_error"]
    those = [
        Family(
            BEGIN + dice.randrange(DAYS - 100) * DAY,
            dice.choice(["weekly", "biweekly", "monthly"]),
            dice.randint(2, 12),
            answers=tuple(dice.choices(answers, [5, 1, 1, 1], k=4)),
        )
        for _ in range(10)
    ]
    for family in dice.sample(those, 2):
        family.interval = "monthly"
        last_on = due_dates(family.first_on, interval="monthly", parts=family.parts)[-1]
        family.card_ends = last_on.replace(day=1) - DAY
    starts = sorted(dice.sample(range(10, DAYS - 20), 12))
    outages = [
        Outage(BEGIN + start * DAY, dice.choice([1, 1, 3, 10]), datetime.time(dice.randrange(24), 1))
        for start in starts
    ]
    begin(year, those)

    year.live(outages, twice=dice.random() < 0.3)

    assert sorted(year.log) == expected(year, outages)
    assert violations() == []
