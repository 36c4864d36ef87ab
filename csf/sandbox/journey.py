"""A parent buys two classes for two children, over HTTP like any browser, and we watch the mailbox.

It knows nothing of the database: what it checks is what a parent, Stripe and the mail provider have seen.
"""

import json
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from html import unescape
from typing import Any

import requests

PASSWORD = "sparks-demo-2026"  # noqa: S105 - the demo's public password
PATIENCE_S = 60.0
# How long after the last expected email a second copy would be noticed.
QUIET_S = 3.0


@dataclass(frozen=True)
class Fact:
    """Something that happened, and the email that it owes."""

    text: str
    kind: str
    happened_at: float


class Journey:
    def __init__(self, *, site: str, stripe: str, mail: str, email: str) -> None:
        self.site, self.stripe, self.mail, self.email = site, stripe, mail, email
        self.browser = requests.Session()
        self.facts: list[Fact] = []

    def run(self) -> bool:
        """Drive the site, print each fact with its email, and say whether each came exactly once."""
        print(f"\n  The journey of {self.email}")
        self._sign_in()
        children = self._fill_cart(["football-foundations", "starfish-swim"])
        payment_page = self._place_order()
        self._pay(payment_page, card="4242424242424242")
        for name, title in children:
            self._fact(f"{name} is enrolled in {title}", "enrollment_confirmation")
        return self._report()

    def _sign_in(self) -> None:
        page = self._post("/account/login/", {"login": self.email, "password": PASSWORD})
        assert "account/logout" in page.text, "could not sign in"

    def _fill_cart(self, slugs: list[str]) -> list[tuple[str, str]]:
        """Each class for the next child of the family, the oldest first; gives first names and titles."""
        chosen = []
        for number, slug in enumerate(slugs):
            page = self._get(f"/classes/{slug}/")
            radios = re.findall(r'<input type="radio" name="child" value="([0-9a-f-]+)"', page)
            added = self._post(f"/classes/{slug}/", {"child": radios[number]})
            assert added.url.endswith("/cart/"), f"{slug} was not added to the cart"
            message = re.search(r"(\w+) is in the cart for ([^<]+?)\.", unescape(added.text))
            assert message, "the cart page does not say what was added"
            chosen.append((message[1], message[2]))
        return chosen

    def _place_order(self) -> str:
        order = re.search(r'name="order" value="([0-9a-f-]+)"', self._get("/checkout/"))
        assert order, "the checkout page has no order"
        started_at = time.time()
        page = self._post("/checkout/", {"order": order[1]})
        assert page.url.startswith(self.stripe), f"no payment page, but {page.url}"
        self.facts.append(Fact("the order is placed, its seats are held", "order_confirmation", started_at))
        return page.url

    def _pay(self, payment_page: str, *, card: str) -> None:
        self._fact(f"paid with card {card[:4]} ... {card[-4:]}", "payment_success")
        page = self.browser.post(payment_page, data={"card": card}, timeout=30)
        assert page.url.startswith(self.site), f"the payment page did not lead back, but to {page.url}"

    def _fact(self, text: str, kind: str) -> None:
        self.facts.append(Fact(text, kind, time.time()))

    def _report(self) -> bool:
        emails = self._await_emails(Counter(fact.kind for fact in self.facts))
        complete = True
        for fact in self.facts:
            matching = [email for email in emails if email["kind"] == fact.kind and _tells(email, fact)]
            if matching:
                emails.remove(matching[0])
                seconds = matching[0]["received_at"] - fact.happened_at
                print(f"    {fact.text:<58} {fact.kind:<24} accepted after {seconds:.2f} s")
            else:
                complete = False
                print(f"    {fact.text:<58} {fact.kind:<24} MISSING")
        for email in emails:
            complete = False
            print(f"    {'(no fact)':<58} {email['kind']:<24} UNEXPECTED: {email['subject']}")
        paid = [charge for charge in self._json(f"{self.stripe}/_books")["charges"] if charge["succeeded"]]
        verdict = "all emails once each" if complete else "the emails are NOT as expected"
        print(f"    {len(paid)} charge(s) in Stripe's books; {verdict}\n")
        return complete

    def _await_emails(self, wanted: Counter[str]) -> list[dict[str, Any]]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = Counter(email["kind"] for email in self._emails())
            if not wanted - found:
                time.sleep(QUIET_S)
                break
            time.sleep(0.2)
        return self._emails()

    def _emails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json(f"{self.mail}/_messages?to={self.email}")
        return found

    def _get(self, path: str) -> str:
        page = self.browser.get(self.site + path, timeout=30)
        page.raise_for_status()
        return page.text

    def _post(self, path: str, data: dict[str, str]) -> requests.Response:
        """Post the form of the page at `path`, with its CSRF token, and follow where it leads."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self._get(path))
        assert token, f"{path} has no form"
        sent = self.browser.post(
            self.site + path,
            data={**data, "csrfmiddlewaretoken": token[1]},
            headers={"Referer": self.site + path},
            timeout=30,
        )
        sent.raise_for_status()
        return sent

    def _json(self, url: str) -> Any:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)


def _tells(email: dict[str, Any], fact: Fact) -> bool:
    """An enrollment's email names the child of the fact; the other kinds come once in this journey."""
    return fact.kind != "enrollment_confirmation" or fact.text.split()[0] in email["subject"] + email["text"]
