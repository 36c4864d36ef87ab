"""A family does over HTTP what parents do, and notes each fact and the email that must follow."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import requests

from demo.journey.browser import Browser, Form, forms_of
from demo.standins.mailbox import PATIENCE_S, Email, await_email, await_emails, wait_for

PASSWORD = "sparks-demo-2026"  # noqa: S105 - the demo's public password


class ClassIsFull(Exception):
    """Earlier journeys on this database have taken its places, or registration has closed."""


@dataclass(frozen=True)
class World:
    """Where a journey takes place. `manage` runs a manage.py command there and returns its output."""

    site: str
    stripe: str
    mail: str
    manage: Callable[..., str]


@dataclass(frozen=True)
class Fact:
    """Something that happened, and the kind of email that must follow, if any."""

    text: str
    kind: str
    happened_at: float
    names: str
    """What the email must name, if the family gets several of its kind."""


class Family:
    """A parent with a browser and a new email address."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.email = f"{name.lower()}-{int(time.time()):x}@example.org"
        self.browser = Browser(world.site)
        self.facts: list[Fact] = []
        self.unexpected: list[str] = []
        """Kinds of email that must not come."""

    def note(self, text: str, kind: str = "", *, names: str = "", at: float | None = None) -> None:
        """`at`: when it started, if not just now."""
        self.facts.append(Fact(text, kind, at or time.time(), names))

    @property
    def expected(self) -> Counter[str]:
        return Counter(fact.kind for fact in self.facts if fact.kind)

    def await_expected(self) -> None:
        """Wait for the emails so far, because the next step may overtake them."""
        await_emails(self.world.mail, {self.email: self.expected}, patience_s=PATIENCE_S, quiet_s=0)

    def await_email(self, kind: str) -> Email:
        """The latest of its kind."""
        return await_email(self.world.mail, self.email, kind)

    def sign_up(self) -> None:
        typed = {"first_name": "Sam", "last_name": self.name, "email": self.email, "password1": PASSWORD}
        self.note("signs up", "account_confirm_email")
        self.browser.submit("/account/signup/", typed)
        code = re.search(r"\b\d{6}\b", self.await_email("account_confirm_email")["text"])
        assert code, "the email has no code"
        self.note("confirms the address with the code", "welcome")
        self.browser.submit("/account/confirm-email/", {"code": code[0]})
        assert "account/logout" in self.browser.get("/account/"), "not signed in after the code"

    def add_child(self, first_name: str, *, age: int) -> None:
        today = datetime.now(UTC).date()
        born_on = (
            date(today.year - age, today.month, 1) if today.month > 1 else date(today.year - age - 1, 12, 1)
        )
        typed = {
            "first_name": first_name,
            "last_name": self.name,
            "born_on": born_on.isoformat(),
            "contacts-0-name": "Robin Neighbor",
            "contacts-0-phone": "+1 555 0123",
            "contacts-0-relationship": "neighbor",
        }
        page = self.browser.submit("/account/children/add/", typed)
        assert first_name in page.text, f"{first_name} was not added"

    def add_to_cart(self, slug: str, first_name: str) -> None:
        form = self._form_of(slug)
        if form is None or "tier" in form.choices:
            raise ClassIsFull(slug.replace("-", " ").title())
        added = self.browser.submit(f"/classes/{slug}/", {"child": _value_of(form, first_name)})
        assert added.url.endswith("/cart/"), f"{slug} was not added to the cart"

    def join_waitlist(self, slug: str, course: str, first_name: str) -> None:
        self.note(f"{first_name} joins the waitlist", "waitlist_joined", names=course)
        joined = self._wait(slug, first_name, tier="regular")
        assert f"{first_name} is on the waitlist" in joined.text, f"{first_name} does not wait for {slug}"

    def join_priority_waitlist(self, slug: str, course: str, first_name: str) -> None:
        """With the saved card, after agreeing to what may be charged."""
        terms = self._wait(slug, first_name, tier="priority")
        at_most = re.search(r">(\$[\d,.]+)</b> at most", terms.text)
        assert at_most, "the page does not say what may be charged"
        self.note(
            f"{first_name} joins the priority waitlist, for {at_most[1]} at most",
            "waitlist_joined",
            names=course,
        )
        joined = self.browser.submit_next(terms, {}, having="at_most")
        assert f"{first_name} is on the waitlist" in joined.text, f"{first_name} does not wait for {slug}"

    def _wait(self, slug: str, first_name: str, *, tier: str) -> requests.Response:
        form = self._form_of(slug)
        assert form is not None, f"{slug} takes no children"
        assert "tier" in form.choices, f"{slug} has no waitlist now"
        return self.browser.submit(f"/classes/{slug}/", {"child": _value_of(form, first_name), "tier": tier})

    def _form_of(self, slug: str) -> Form | None:
        forms = forms_of(self.browser.get(f"/classes/{slug}/"))
        return next((form for form in forms if "child" in form.choices), None)

    def place_order(self) -> str:
        """Returns the address of the payment page."""
        self.note("places an order; its seats are held", "order_confirmation")
        return self._to_stripe("/checkout/", {})

    def place_order_in_parts(self) -> tuple[str, date]:
        """By the plan that the checkout offers; returns the payment page and the second part's due date."""
        html = self.browser.get("/checkout/")
        consent = re.search(r"By choosing this you agree: “I allow [^”]* on (\w+, \w+ \d+, \d+), and", html)
        assert consent, "the checkout asks for no consent to a second part"
        due_on = datetime.strptime(consent[1], "%a, %b %d, %Y").date()  # noqa: DTZ007 - a day of the school
        [form] = [form for form in forms_of(html) if "plan" in form.choices]
        plan = next(value for value, label in form.choices["plan"] if value)
        self.note(f"orders in 2 parts and allows the charge on {short(due_on)}", "order_confirmation")
        return self._to_stripe("/checkout/", {"plan": plan}), due_on

    def pay(self, page: str, card: str, *, enrolled: list[tuple[str, str]]) -> None:
        """`enrolled`: each child and class."""
        self.note(f"pays with card {card[:4]} ... {card[-4:]}", "payment_success")
        for child, course in enrolled:
            self.note(f"{child} is enrolled in {course}", "enrollment_confirmation", names=course)
        done = self.authenticate(self.browser.send(page, {"card": card}).url)
        assert done.startswith(self.world.site), f"the payment page did not lead back, but to {done}"

    def pay_by_link(self, path: str, card: str) -> None:
        """Pay one installment on its payment page, without signing in."""
        page = Browser(self.world.site).submit(path, {}).url
        assert page.startswith(self.world.stripe), f"no payment page, but {page}"
        done = self.authenticate(self.browser.send(page, {"card": card}).url)
        assert done.startswith(self.world.site), f"the payment page did not lead back, but to {done}"

    def authenticate(self, page: str) -> str:
        """Confirm the payment if the bank asks; returns the address that follows."""
        asks = page.endswith("/authenticate")
        return self.browser.send(page, {"result": "pass"}).url if asks else page

    def save_card(self, card: str) -> None:
        self.note(f"saves a card, {card[:4]} ... {card[-4:]}")
        self.browser.send(self._to_stripe("/account/card/", {}), {"card": card})
        saved = wait_for(lambda: "is being saved" not in self.browser.get("/account/?saved"))
        assert saved, "the new card does not appear"

    def cancel(self, first_name: str) -> None:
        """Cancel the child's only class, after reading what is refunded."""
        order = self.browser.get(self.order_path())
        link = re.search(
            rf'"(/account/enrollments/[0-9a-f-]+/cancel/)">Cancel this class<[^>]*> \({first_name} ', order
        )
        assert link, f"the order page offers no cancellation for {first_name}"
        refund = re.search(r"<b>(\$[\d,.]+)</b> will be refunded", self.browser.get(link[1]))
        assert refund, "the page does not say what is refunded"
        self.note(
            f"cancels {first_name}'s class, to get {refund[1]} back",
            "cancellation_confirmation",
            names=first_name,
        )
        self.browser.submit(link[1], {}, having="reason")

    def accept_offer(self) -> str:
        """By the link in the email; returns the address of the payment page."""
        link = re.search(r"/offer/\S+/", self.await_email("waitlist_offer")["text"])
        assert link, "the email has no link to the offer"
        accept = re.search(r"/account/waitlist/[0-9a-f-]+/", Browser(self.world.site).get(link[0]))
        assert accept, "the page of the offer has no way to accept it"
        self.note("opens the link and accepts", "order_confirmation")
        return self._to_stripe(accept[0], {})

    def order_path(self) -> str:
        order = re.search(r"/account/orders/[0-9a-f-]+/", self.browser.get("/account/"))
        assert order, "the account page shows no order"
        return order[0]

    def order_number(self) -> str:
        number = re.search(r"Order (\w{6,})", self.browser.get(self.order_path()))
        assert number, "the order page shows no number"
        return number[1]

    def _to_stripe(self, path: str, typed: dict[str, str]) -> str:
        page = self.browser.submit(path, typed)
        if page.url.endswith("/cart/"):
            raise ClassIsFull("A class in the cart")
        assert page.url.startswith(self.world.stripe), f"no page of Stripe's, but {page.url}"
        return page.url


def _value_of(form: Form, first_name: str) -> str:
    """The value of this child's radio button."""
    return next(value for value, label in form.choices["child"] if first_name in label)


def short(day: date) -> str:
    return f"{day:%b} {day.day}"
