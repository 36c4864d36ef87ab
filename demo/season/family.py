"""What a family does on the site, and what it may expect to hear and to pay because of it.

The expectations are written down here as a person would who reads the pages, never from the product's tables.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from demo.journey.browser import forms_of
from demo.season.visitor import Page, Visitor
from demo.season.world import Mail, Stripe
from demo.standins.bank import charges_of, script_card

PASSWORD = "sparks-demo-2026"  # noqa: S105 - the demo's public password
REMINDERS, CHARGES = time(9), time(10)  # the jobs, by the school's clock
OFFICE = time(15)  # when staff approve refunds
HOLD = timedelta(minutes=35)
REMIND_DAYS_BEFORE, CLASS_DAYS_BEFORE, RETRY_DAYS = 3, 5, 3
WAY = re.compile(r'name="plan" value="(\d*)"(.*?)(?=name="plan"|</fieldset>)', re.DOTALL)
PART = re.compile(r'<span>(Today|\w+, \w+ \d+, \d+)</span> <b class="price">\$([\d,]+\.\d\d)</b>')
PAY_NOW = re.compile(r"Place order and pay \$([\d,]+\.\d\d)")


def cents(dollars: str) -> int:
    return int(dollars.replace(",", "").replace(".", ""))


def day_of(text: str) -> date:
    return datetime.strptime(text, "%a, %b %d, %Y").date()  # noqa: DTZ007 - a day of the school


def local(at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(settings.SCHOOL_TIME_ZONE))


@dataclass(frozen=True)
class Offer:
    """A class as the family reads it in the catalog."""

    slug: str
    title: str
    ages: tuple[int, int]
    first_on: date


@dataclass(frozen=True)
class Child:
    first_name: str
    born_on: date

    def age_on(self, day: date) -> int:
        had_birthday = (day.month, day.day) >= (self.born_on.month, self.born_on.day)
        return day.year - self.born_on.year - (not had_birthday)


@dataclass(frozen=True)
class Due:
    """A sum that the family has agreed to pay, on that day or later."""

    cents: int
    on: date
    is_sure: bool = True
    """Whether it must have been taken, once the day's charges were made."""

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f} on {self.on}"

    @property
    def falls_at(self) -> datetime:
        return school_time(self.on, CHARGES) + timedelta(hours=1)


@dataclass(frozen=True)
class Note:
    """An email that must come, and why."""

    kind: str
    at: datetime
    why: str
    about: object = None
    """A Due or a place, whose end may end this too."""


Place = tuple[Child, Offer]


@dataclass
class Family:
    number: int
    surname: str
    parent: str
    children: list[Child]
    stripe: Stripe
    mail: Mail
    hears: list[Note] = field(default_factory=list)
    refunds: list[Due] = field(default_factory=list)
    """What the pages promised, and from when the office can send it."""
    agreed: list[Due] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.email = f"parent{self.number}@example.org"
        self.visitor = Visitor(self.number)

    def expect(self, kind: str, at: datetime, why: str, about: object = None) -> None:
        self.hears.append(Note(kind, at, why, about))

    def expect_no_more(self, about: object, now: datetime) -> None:
        """Nothing more that a job would have sent about it."""
        self.hears = [note for note in self.hears if note.about != about or note.at <= now]

    # --- An account ---------------------------------------------------------------------------------------

    def sign_up(self, now: datetime) -> None:
        typed = {"first_name": self.parent, "last_name": self.surname}
        self.visitor.submit("/account/signup/", {**typed, "email": self.email, "password1": PASSWORD})
        self.expect("account_confirm_email", now, "signs up")

    def confirm_address(self, now: datetime) -> None:
        text = self.mail.latest(self.email, "account_confirm_email")["text"]
        code = re.search(r"\b\d{6}\b", text)
        if code is None:
            raise LookupError("the email has no code")
        self.visitor.submit("/account/confirm-email/", {"code": code[0]})
        self.expect("welcome", now, "types the code")

    def add_child(self, child: Child) -> None:
        typed = {
            "first_name": child.first_name,
            "last_name": self.surname,
            "born_on": child.born_on.isoformat(),
            "contacts-0-name": f"Robin {self.surname}",
            "contacts-0-phone": "+1 555 0123",
            "contacts-0-relationship": "grandparent",
        }
        self.visitor.submit("/account/children/add/", typed)

    def _page(self, path: str) -> Page:
        """Signed in, again if the last time is weeks ago."""
        page = self.visitor.get(path)
        if page.url.startswith("/account/login/"):
            page = self.visitor.submit_next(page, {"login": self.email, "password": PASSWORD})
        return page

    # --- An order -----------------------------------------------------------------------------------------

    def put_in_cart(self, child: Child, offer: Offer) -> bool:
        """False if the class has no place, or does not take this child now."""
        page = self._page(f"/classes/{offer.slug}/")
        value = choice_of(page, child.first_name)
        if value is None:
            return False
        added = self.visitor.submit_next(page, {"child": value})
        return added.url.endswith("/cart/")

    def order(self, now: datetime, *, parts: int = 1) -> str:
        """Agree to what the checkout says; the address of Stripe's page, "" where the cart is shown again."""
        page = self._page("/checkout/")
        if page.url.endswith("/cart/"):
            return ""
        plan, due = way_to_pay(page, parts, local(now).date())
        paying = self.visitor.submit_next(page, {"plan": plan} if plan else {}, having="due")
        if "://" not in paying.url:
            return ""
        self.agreed += due
        self.expect("order_confirmation", now, "places an order")
        return paying.url

    def pay(self, page: str, card: str, now: datetime, *, taken: Sequence[Place]) -> bool:
        """False if the bank declines."""
        if not self.stripe.pay(page, card):
            return False
        self.expect("payment_success", now, f"pays with card {card[-4:]}")
        for child, offer in taken:
            self.expect("enrollment_confirmation", now, f"{child.first_name} is in {offer.title}")
            self.places.append((child, offer))
            if offer.first_on - local(now).date() > timedelta(
                days=CLASS_DAYS_BEFORE
            ):  # else it was just said
                days = days_before(offer.first_on, CLASS_DAYS_BEFORE)
                self._expect_on_first(days, REMINDERS, now, "class_starts_soon", (child, offer))
        for due in [due for due in self.agreed if due.on > local(now).date()]:
            days = days_before(due.on, REMIND_DAYS_BEFORE)
            self._expect_on_first(days, REMINDERS, now, "installment_reminder", due)
            self._expect_on_first([due.on], CHARGES, now, "payment_success", due)
        return True

    def _expect_on_first(
        self, days: list[date], clock: time, now: datetime, kind: str, about: Place | Due
    ) -> None:
        """On the first of these days on which the job at that time finds what is so from now on."""
        at = next((moment for day in days if (moment := school_time(day, clock)) > now), None)
        if at:
            why = str(about) if isinstance(about, Due) else f"{about[0].first_name}'s {about[1].title}"
            self.expect(kind, at, why, about)

    def leaves_unpaid(self, now: datetime) -> None:
        """The order lapses, and nothing of it is owed."""
        self.agreed.clear()
        lapses_at = now + HOLD + timedelta(minutes=5)
        self.expect("order_expired", lapses_at, "pays nothing until the hold runs out")

    # --- Afterwards ---------------------------------------------------------------------------------------

    def runs_short(self, due: Due) -> None:
        """The bank says no on the day, and yes on the next of the dunning days."""
        script_card(self.stripe.server.url, self.email, ["insufficient_funds"])
        again = Due(due.cents, due.on + timedelta(days=RETRY_DAYS))
        self.agreed[self.agreed.index(due)] = again
        self.hears = [note for note in self.hears if (note.kind, note.about) != ("payment_success", due)]
        self.expect("payment_failed", school_time(due.on, CHARGES), f"{due} is declined")
        self.expect("payment_success", school_time(again.on, CHARGES), f"{again} after a decline", again)

    def loses_card(self, due: Due, now: datetime) -> None:
        """The bank will say no for good: that sum is taken in no other way than the family's own."""
        script_card(self.stripe.server.url, self.email, ["lost_card"])
        self.agreed.remove(due)
        self.hears = [note for note in self.hears if (note.kind, note.about) != ("payment_success", due)]
        self.expect("payment_failed", school_time(due.on, CHARGES), f"{due}: the card was reported lost")

    def pays_by_link(self, due: Due, card: str, now: datetime) -> None:
        """As the email says, without signing in; then with the same new card for all that follows."""
        link = re.search(r"/pay/\S+/", self.mail.latest(self.email, "payment_failed")["text"])
        if link is None:
            raise LookupError("the email has no link to pay")
        stranger = Visitor(2_000_000 + self.number)
        self.stripe.pay(stranger.submit(link[0], {}).url, card)
        self.agreed.append(Due(due.cents, local(now).date()))
        self.expect("payment_success", now, f"{due} by the link")

    def saves_card(self, card: str) -> None:
        form = self._page("/account/card/")
        self.stripe.pay(self.visitor.submit_next(form, {}, having="fingerprint").url, card)

    def disputes(self) -> str:
        """Its last payment, at the bank; the id of the dispute."""
        paid = [row for row in charges_of(self.stripe.server.url, self.email) if row["succeeded"]]
        return self.stripe.dispute(paid[-1]["id"])

    def cancel(self, place: Place, now: datetime) -> None:
        """Give up a place for what the page says comes back."""
        child, offer = place
        path = re.search(r"/account/orders/[0-9a-f-]+/", self._page("/account/").text)
        order = self.visitor.get(path[0]).text if path else ""
        link = re.search(
            rf'"(/account/enrollments/[0-9a-f-]+/cancel/)">Cancel this class<[^>]*> \({child.first_name} ',
            order,
        )
        if link is None:
            raise LookupError(f"no page offers to cancel {child.first_name}'s class")
        page = self.visitor.get(link[1])
        promised = re.search(r"<b>\$([\d,.]+)</b> will be refunded", page.text)
        self.visitor.submit_next(page, {}, having="reason")
        self.places.remove(place)
        self.expect_no_more(place, now)
        self.expect("cancellation_confirmation", now, f"cancels {offer.title}")
        if promised:
            decided_at = next_time(OFFICE, now)
            self.refunds.append(Due(cents(promised[1]), local(decided_at).date()))
            self.expect("refund_issued", decided_at, f"the office approves {promised[1]}")


def school_time(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, ZoneInfo(settings.SCHOOL_TIME_ZONE))


def next_time(clock: time, now: datetime) -> datetime:
    today = school_time(local(now).date(), clock)
    return today if today > now else school_time(local(now).date() + timedelta(days=1), clock)


def days_before(day: date, most: int) -> list[date]:
    return [day - timedelta(days=number) for number in range(most, 0, -1)]


def choice_of(page: Page, first_name: str) -> str | None:
    """The value of this child's radio button."""
    choices = [choice for form in forms_of(page.text) for choice in form.choices.get("child", [])]
    return next((value for value, label in choices if first_name in label), None)


def way_to_pay(page: Page, parts: int, today: date) -> tuple[str, list[Due]]:
    """The value of a plan of so many parts (the longest shorter one if there is none), and what it says: the
    sums and their days."""
    ways = [(value, PART.findall(text)) for value, text in WAY.findall(page.text)]
    if not ways:
        now = PAY_NOW.search(page.text)
        return "", [Due(cents(now[1]), today)] if now else []
    value, found = max((way for way in ways if len(way[1]) <= parts), key=lambda way: len(way[1]))
    return value, [Due(cents(sum_), today if day == "Today" else day_of(day)) for day, sum_ in found]
