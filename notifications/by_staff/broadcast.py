"""Sending a message from the office to many families: whom it reaches, and the confirmation."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import transaction

from csf.staff.fingerprint import fingerprint_of
from csf.state import Stale
from enrollments.models import Household, User
from notifications.delivery.suppression import suppressed
from notifications.facts.audience import seats
from notifications.facts.readers import readers
from notifications.models import EmailMessage, FamilyMessage, FamilyMessageLine
from notifications.outbox import notify
from notifications.preferences.rules import unwanted

NOBODY = "no one in the family can be emailed"
UNWANTED = "turned it off, or never asked for it"
SUPPRESSED = "the address does not accept email"


class AlreadySent(Exception):
    """It was already confirmed."""


class Changed(Exception):
    """The recipients or the words have changed since the preview."""


@dataclass(frozen=True)
class Skip:
    """Someone, or with an empty name the whole family, who gets no email."""

    who: str
    cause: str
    why: str

    def __str__(self) -> str:
        return f"{self.who}: {self.why}" if self.who else self.why


@dataclass
class Family:
    """One family of an audience: its classes, who gets the email, and who does not."""

    household: Household
    classes: list[str] = field(default_factory=list)
    people: list[User] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    def line(self, message: FamilyMessage) -> FamilyMessageLine:
        why_not = "; ".join(str(skip) for skip in self.skipped)
        line = FamilyMessageLine(message=message, household=self.household, skipped=why_not[:500])
        line.people, line.classes = self.people, self.classes
        return line


@dataclass(frozen=True)
class Reach:
    message: FamilyMessage
    families: list[Family]

    @property
    def reached(self) -> list[Family]:
        return [family for family in self.families if family.people]

    @property
    def people(self) -> int:
        return sum(len(family.people) for family in self.families)

    @property
    def not_reached(self) -> int:
        return len(self.families) - len(self.reached)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why people get nothing; the most frequent first."""
        return Counter(skip.cause for family in self.families for skip in family.skipped).most_common()

    @property
    def fingerprint(self) -> str:
        """It changes as soon as the recipients or the words change."""
        people = sorted(user.pk for family in self.families for user in family.people)
        words = [self.message.kind, self.message.subject, self.message.body]
        return fingerprint_of(people, words)


def reach_of(message: FamilyMessage) -> Reach:
    """In the same few statements for any number of families, which are sorted by name."""
    families: dict[int, Family] = {}
    for seat in seats(message.audience).select_related("child__household", "course").order_by("pk"):
        household = seat.child.household
        family = families.setdefault(household.pk, Family(household))
        if seat.course.title not in family.classes:
            family.classes.append(seat.course.title)
    _add_people(message, families)
    in_order = sorted(families.values(), key=lambda family: (family.household.name, family.household.pk))
    return Reach(message, in_order)


def _add_people(message: FamilyMessage, families: Mapping[int, Family]) -> None:
    people = list(readers().filter(household__in=families))
    rows = [
        EmailMessage(pk=user.pk, kind=message.kind, recipient=user, to=user.email, context={})
        for user in people
    ]
    not_wanted, no_mail = unwanted(rows), suppressed(rows)
    for user in people:
        family = families[user.household_id or 0]
        if user.pk in no_mail:
            family.skipped.append(Skip(str(user), SUPPRESSED, no_mail[user.pk]))
        elif user.pk in not_wanted:
            family.skipped.append(Skip(str(user), UNWANTED, not_wanted[user.pk]))
        else:
            family.people.append(user)
    for family in families.values():
        if not family.people and not family.skipped:
            family.skipped.append(Skip("", NOBODY, NOBODY))


@transaction.atomic
def send(*, message: FamilyMessage, by: User, fingerprint: str) -> None:
    """Confirm the draft and queue its emails. Raises AlreadySent or Changed; then nothing is sent."""
    try:
        message.confirm(by=by)  # a second request waits here
    except Stale:
        raise AlreadySent from None
    message.refresh_from_db()  # it may have been changed in another window
    reach = reach_of(message)
    if reach.fingerprint != fingerprint:
        raise Changed
    lines = FamilyMessageLine.objects.bulk_create(family.line(message) for family in reach.families)
    notify(message.kind, [line for line in lines if line.people])
