"""Three families use the site over HTTP like any browser, and we watch what arrives in their mailboxes.

It knows nothing of the database: what it checks is what parents, Stripe and the mail provider have seen.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from csf.sandbox.browser import Browser, forms_of
from csf.sandbox.mailbox import Email, await_email, await_emails, charges_of, emails_to

PASSWORD = "sparks-demo-2026"  # noqa: S105 - the demo's public password
VISA, NO_MONEY = "4242424242424242", "4000000000009995"
PROMO_CODE = "WELCOME10"
PATIENCE_S, QUIET_S = 150.0, 3.0


@dataclass(frozen=True)
class Fact:
    """Something that happened, and the email it owes, or that must not come."""

    text: str
    kind: str
    happened_at: float
    names: str = ""
    """What the email has to name, where a family gets several of its kind."""


@dataclass
class Family:
    """A parent with a browser and an address that nobody has used before."""

    name: str
    email: str
    browser: Browser
    facts: list[Fact] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)

    def note(self, text: str, kind: str, *, names: str = "") -> None:
        self.facts.append(Fact(text, kind, time.time(), names))


class Journey:
    def __init__(self, *, site: str, stripe: str, mail: str) -> None:
        self.site, self.stripe, self.mail = site, stripe, mail
        self.stamp = format(int(time.time()), "x")

    def run(self) -> bool:
        """Drive the site, print each fact with its email, and say whether each came exactly once."""
        paid_before = len(charges_of(self.stripe))
        families = [self.pays_and_cancels(), self.is_declined_and_pays(), self.gives_up()]
        wanted = {family.email: Counter(fact.kind for fact in family.facts) for family in families}
        await_emails(self.mail, wanted, patience_s=PATIENCE_S, quiet_s=QUIET_S)
        complete = False not in [self._report(family) for family in families]
        paid = len(charges_of(self.stripe)) - paid_before
        print(f"\n  {paid} charges in Stripe's books, 2 expected")
        return complete and paid == 2

    def pays_and_cancels(self) -> Family:
        family = self._sign_up("Rivera")
        older = self._add_child(family, "Nora", age=8)
        younger = self._add_child(family, "Theo", age=5)
        self._add_to_cart(family, "football-foundations", older)
        self._add_to_cart(family, "starfish-swim", younger)
        family.browser.submit("/cart/", {"code": PROMO_CODE})
        page = self._place_order(family)
        self._pay(family, page, VISA, enrolled=[("Nora", "Football Foundations"), ("Theo", "Starfish Swim")])
        self._cancel_first_class(family)
        return family

    def is_declined_and_pays(self) -> Family:
        family = self._sign_up("Okonkwo")
        child = self._add_child(family, "Ada", age=8)
        self._add_to_cart(family, "street-dance", child)
        page = self._place_order(family)
        family.browser.send(page, {"card": NO_MONEY})
        self._pay(family, page, VISA, enrolled=[("Ada", "Street Dance")])
        family.quiet.append("payment_failed")
        return family

    def gives_up(self) -> Family:
        family = self._sign_up("Lindqvist")
        child = self._add_child(family, "Elsa", age=8)
        self._add_to_cart(family, "dolphin-swim", child)
        page = self._place_order(family)
        family.note("the card is declined, and they give up", "payment_failed")
        family.browser.send(page, {"card": NO_MONEY})
        return family

    def _sign_up(self, name: str) -> Family:
        family = Family(name, f"{name.lower()}-{self.stamp}@example.org", Browser(self.site))
        typed = {"first_name": "Sam", "last_name": name, "email": family.email, "password1": PASSWORD}
        family.note("signs up", "account_confirm_email")
        family.browser.submit("/account/signup/", typed)
        code = re.search(r"\b\d{6}\b", await_email(self.mail, family.email, "account_confirm_email")["text"])
        assert code, "the email has no code"
        family.note("confirms the address with the code", "welcome")
        family.browser.submit("/account/confirm-email/", {"code": code[0]})
        assert "account/logout" in family.browser.get("/account/"), "not signed in after the code"
        return family

    def _add_child(self, family: Family, first_name: str, *, age: int) -> str:
        today = datetime.now(UTC).date()
        born_on = (
            date(today.year - age, today.month, 1) if today.month > 1 else date(today.year - age - 1, 12, 1)
        )
        typed = {
            "first_name": first_name,
            "last_name": family.name,
            "born_on": born_on.isoformat(),
            "contacts-0-name": "Robin Neighbor",
            "contacts-0-phone": "+1 555 0123",
            "contacts-0-relationship": "neighbor",
        }
        page = family.browser.submit("/account/children/add/", typed)
        assert first_name in page.text, f"{first_name} was not added"
        return first_name

    def _add_to_cart(self, family: Family, slug: str, first_name: str) -> None:
        path = f"/classes/{slug}/"
        [form] = [form for form in forms_of(family.browser.get(path)) if "child" in form.choices]
        child = next(value for value, label in form.choices["child"] if first_name in label)
        added = family.browser.submit(path, {"child": child})
        assert added.url.endswith("/cart/"), f"{slug} was not added to the cart"

    def _place_order(self, family: Family) -> str:
        """Gives the address of the payment page."""
        family.note("places an order, its seats are held", "order_confirmation")
        page = family.browser.submit("/checkout/", {}, having="order")
        assert page.url.startswith(self.stripe), f"no payment page, but {page.url}"
        return page.url

    def _pay(self, family: Family, page: str, card: str, *, enrolled: list[tuple[str, str]]) -> None:
        family.note(f"pays with card {card[:4]} ... {card[-4:]}", "payment_success")
        for child, course in enrolled:
            family.note(f"{child} is enrolled in {course}", "enrollment_confirmation", names=course)
        done = family.browser.send(page, {"card": card})
        assert done.url.startswith(self.site), f"the payment page did not lead back, but to {done.url}"

    def _cancel_first_class(self, family: Family) -> None:
        await_email(self.mail, family.email, "enrollment_confirmation")
        order = re.search(r"/account/orders/[0-9a-f-]+/", family.browser.get("/account/"))
        assert order, "the account page shows no order"
        link = re.search(r"/account/enrollments/[0-9a-f-]+/cancel/", family.browser.get(order[0]))
        assert link, "the order page offers no cancellation"
        family.note("cancels one class", "cancellation_confirmation")
        family.browser.submit(link[0], {}, having="reason")

    def _report(self, family: Family) -> bool:
        """Print each fact with its email; False if one is missing, came twice or should not have come."""
        print(f"\n  The {family.name} family")
        emails = emails_to(self.mail, family.email)
        complete = True
        for fact in family.facts:
            email = _find(emails, fact)
            if email is None:
                complete = False
                print(f"    {fact.text:<46} {fact.kind:<27} MISSING")
                continue
            emails.remove(email)
            seconds = max(email["received_at"] - fact.happened_at, 0)
            print(f"    {fact.text:<46} {fact.kind:<27} accepted after {seconds:5.2f} s")
        for kind in family.quiet:
            print(f"    {'was declined before, so expects no':<46} {kind:<27} none came")
        for email in emails:
            complete = False
            print(f"    {'':<46} {email['kind']:<27} UNEXPECTED: {email['subject']}")
        return complete


def _find(emails: list[Email], fact: Fact) -> Email | None:
    of_kind = (email for email in emails if email["kind"] == fact.kind)
    return next((email for email in of_kind if fact.names in email["subject"] + email["text"]), None)
