"""Families use the site over HTTP, as in a browser, and we check what arrives in their mailboxes.

The journey does not know the database: it checks what parents, staff, Stripe and the mail provider have seen.
"""

from collections.abc import Callable

from demo.journey import changes_story, checkout_story, dunning_story
from demo.journey.family import ClassIsFull, Fact, Family, World
from demo.standins.bank import charges_of, refunds_of
from demo.standins.mailbox import Email, await_emails, emails_to

PATIENCE_S, QUIET_S = 150.0, 3.0
# Each plays something with families of its own and returns them. Their notes are checked at the end. The days
# that pass in one story must not touch the payment plans of the next.
STORIES: list[Callable[[World], list[Family]]] = [
    checkout_story.play,
    dunning_story.play,
    changes_story.play,
]


class Journey:
    def __init__(self, world: World) -> None:
        self.world = world

    def run(self) -> bool:
        """Play the stories, print each fact with its email, and return whether each arrived exactly once."""
        families = [family for play in STORIES for family in self._played(play)]
        wanted = {family.email: family.expected for family in families}
        await_emails(self.world.mail, wanted, patience_s=PATIENCE_S, quiet_s=QUIET_S)
        complete = False not in [self._report(family) for family in families]
        print()
        return self._money_is_right(families) and complete

    def _played(self, play: Callable[[World], list[Family]]) -> list[Family]:
        """No families if earlier journeys have filled its classes."""
        try:
            return play(self.world)
        except ClassIsFull as course:
            print(f"\n  {course} is full; bin/demo --fresh plays this story again.")
            return []

    def _report(self, family: Family) -> bool:
        """Print each fact with its email; False if one is missing, duplicate or unexpected."""
        print(f"\n  The {family.name} family")
        emails = emails_to(self.world.mail, family.email)
        complete = True
        for fact in family.facts:
            email = _find(emails, fact)
            if email:
                emails.remove(email)
                seconds = max(email["received_at"] - fact.happened_at, 0)
                _line(fact.text, fact.kind, f"accepted after {seconds:5.2f} s")
            else:
                complete = complete and not fact.kind
                _line(fact.text, fact.kind, "MISSING" if fact.kind else "")
        for kind in family.unexpected:
            _line("was declined before paying, so expects no", kind, "none arrived")
        for email in emails:
            complete = False
            _line("", email["kind"], f"UNEXPECTED: {email['subject']}")
        return complete

    def _money_is_right(self, families: list[Family]) -> bool:
        """Whether Stripe's books have exactly the payments and refunds that families were emailed about."""
        stripe = self.world.stripe
        charges = {family: charges_of(stripe, family.email) for family in families}
        refunds = {family: refunds_of(stripe, family.email) for family in families}
        came = {family: sum(row["succeeded"] for row in rows) for family, rows in charges.items()}
        went = {family: len(rows) for family, rows in refunds.items()}
        are_right = [
            _compare("Charges", came, {family: family.expected["payment_success"] for family in families}),
            _compare("Refunds", went, {family: family.expected["refund_issued"] for family in families}),
        ]
        return all(are_right)


def _compare(name: str, found: dict[Family, int], wanted: dict[Family, int]) -> bool:
    print(f"  {name} in Stripe's books: {sum(found.values())}, expected: {sum(wanted.values())}")
    return found == wanted


def _find(emails: list[Email], fact: Fact) -> Email | None:
    of_kind = (email for email in emails if email["kind"] == fact.kind)
    return next((email for email in of_kind if fact.names in email["subject"] + email["text"]), None)


def _line(text: str, kind: str, found: str) -> None:
    print(f"    {text:<50} {kind:<27} {found}".rstrip())
