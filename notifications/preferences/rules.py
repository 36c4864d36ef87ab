"""Which emails people get: what can be chosen, what they chose, and what the drain does not send as a result.

Choices do not affect essential kinds. Service kinds are on until they are switched off. Promotional ones are
off until someone asks for them: many countries require consent, and newsletters marked as spam would keep
everyone's receipts out of the inbox.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from csf import clock
from csf.dates import local_date
from csf.templatetags.csf_format import day
from enrollments.models import User
from notifications.facts.links import preferences_path, unsubscribe_path
from notifications.models import EmailMessage, EmailPreference, Suppression
from notifications.registry import EMAILS

Origin = EmailPreference.Origin
COPIES = EmailPreference.COPIES


@dataclass(frozen=True)
class Choice:
    title: str
    about: str
    is_on_by_default: bool


class NotAChoice(Exception):
    """Of an essential kind, or of none: nobody can switch it."""


CHOICES: dict[str, Choice] = {
    kind: Choice(email.choice.title, email.choice.about, is_on_by_default=email.group == "service")
    for kind, email in EMAILS.items()
    if email.choice
} | {
    COPIES: Choice(
        "Copies of emails to the family",
        "Confirmations, payments and class news, which the lead guardian also gets.",
        is_on_by_default=False,
    )
}


@dataclass(frozen=True)
class AlwaysSent:
    title: str
    reason: str
    topic: str

    @property
    def titles(self) -> list[str]:
        return [str(email.title) for email in EMAILS.values() if email.topic == self.topic]


ALWAYS_SENT = [
    AlwaysSent("Orders and payments", "They are about your money.", "money"),
    AlwaysSent(
        "Places in classes",
        "They tell you whether, when and where your child has a class.",
        "places",
    ),
    AlwaysSent(
        "Your account",
        "They let you sign in, and tell you when something about your account changes.",
        "account",
    ),
]


def choices_of(user: User) -> dict[str, bool]:
    """By the name of the choice, whether it is on."""
    made = dict(user.email_preferences.values_list("choice", "is_on"))
    return {name: made.get(name, choice.is_on_by_default) for name, choice in CHOICES.items()}


def gets_only_essential(user: User) -> bool:
    """Whatever they choose, because the address marked an email as spam."""
    stops = Suppression.objects.in_force().at([user.email])
    return stops.filter(scope=Suppression.Scope.NON_ESSENTIAL).exists()


@transaction.atomic
def choose(user: User, choice: str, *, is_on: bool, origin: Origin) -> bool:
    """The only way to change a choice, for everyone; True if that changed anything. Raises NotAChoice."""
    if choice not in CHOICES:
        raise NotAChoice(choice)
    if choices_of(user)[choice] == is_on:
        return False
    chosen = {"is_on": is_on, "origin": origin, "changed_at": clock.now()}
    EmailPreference.objects.update_or_create(user=user, choice=choice, defaults=chosen)
    return True


def unwanted(rows: Iterable[EmailMessage]) -> dict[int, str]:
    """Those that must not be sent, with the reason; one query, none if all are essential."""
    asked = [row for row in rows if row.kind in CHOICES and not row.is_test]
    if not asked:
        return {}
    made = EmailPreference.objects.filter(
        user__in={row.recipient_id for row in asked}, choice__in={row.kind for row in asked}
    )
    known = {(preference.user_id, preference.choice): preference for preference in made}
    reasons = {row.pk: _why_unwanted(row.kind, known.get((row.recipient_id or 0, row.kind))) for row in asked}
    return {pk: reason for pk, reason in reasons.items() if reason}


def _why_unwanted(kind: str, preference: EmailPreference | None) -> str:
    if preference is None:
        return "" if CHOICES[kind].is_on_by_default else "never asked for"
    if preference.is_on:
        return ""
    return f"turned off by {preference.get_origin_display()} on {day(local_date(preference.changed_at))}"


def footer_links(row: EmailMessage) -> dict[str, str]:
    """The paths at the foot of an email, by their names in the templates.

    There are none for people without an account, none in emails that open an account, and none to an address
    that is not the recipient's own (yet, or any more): whoever reads it could change their choices.
    """
    user = row.recipient
    if user is None or row.to != user.email or EMAILS[row.kind].is_sensitive:
        return {}
    links = {"preferences_path": preferences_path(user)}
    return links | {"unsubscribe_path": unsubscribe_path(user, row.kind)} if row.kind in CHOICES else links


def provider_unsubscribed(user: User) -> None:
    """They told the provider, through its own link or button, that they want no optional emails. If it later
    allows email again, they are not asked again."""
    for name in CHOICES:
        if name != COPIES:
            choose(user, name, is_on=False, origin=Origin.PROVIDER)


def provider_resubscribed(user: User) -> None:
    """Back to how it was: only what the provider switched off."""
    switched_off = user.email_preferences.filter(origin=Origin.PROVIDER, is_on=False)
    for name in switched_off.values_list("choice", flat=True):
        if name in CHOICES:
            choose(user, name, is_on=True, origin=Origin.PROVIDER)
