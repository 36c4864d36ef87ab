"""The guardian who leads a family invites another person to it."""

from collections.abc import Iterable
from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from enrollments.models import GuardianInvitation, User
from notifications.facts.links import invitation_path
from notifications.facts.samples import HOSTILE, LONG
from notifications.spec import Email, Samples, Snapshot, Trigger, after


def recipients(fact: GuardianInvitation) -> list[User]:
    """Without the name that somebody else typed: nobody has shown yet that the address is theirs."""
    owner = User.objects.filter(email__iexact=fact.email).only("pk").first()
    return [User(pk=owner.pk if owner else None, email=fact.email)]


def snapshot(fact: GuardianInvitation) -> Snapshot:
    return {
        "inviter": str(fact.invited_by),
        "family": fact.household.name,
        "has_account": User.objects.filter(email__iexact=fact.email).exists(),
        "invitation_path": invitation_path(fact),
        "ends_at": fact.ends_at.isoformat(),
    }


def still_invited(facts: Iterable[int]) -> set[int]:
    invitations = GuardianInvitation.objects.open().filter(pk__in=facts)
    return set(invitations.values_list("pk", flat=True))


def samples() -> Samples:
    typical: Snapshot = {
        "first_name": "",
        "inviter": "Maria Lopez",
        "family": "Lopez family",
        "has_account": False,
        "invitation_path": "/invitation/IjZmMWI0YzFlIg:k3J9/",
        "ends_at": "2026-09-12T21:00:12+00:00",
    }
    return {
        "minimal": typical | {"inviter": "maria@example.org"},
        "typical": typical,
        "has_an_account": typical | {"has_account": True},
        "with_links": typical | {"has_account": True, "preferences_path": "/emails/IjZmMWI0YzFlIg:k3J9/"},
        "huge": typical | {"inviter": f"{LONG} {LONG}", "family": f"{LONG} family"},
        "hostile": typical | {"inviter": HOSTILE, "family": HOSTILE},
    }


EMAIL = Email(
    kind="guardian_invitation",
    title=_("Family invitation"),
    when="the guardian who leads a family invites another person to the family",
    topic="account",
    trigger=Trigger(GuardianInvitation),
    recipients=recipients,
    snapshot=snapshot,
    key=lambda fact: f"invitation:{fact.pk}",
    accent="blue",
    is_copy_harmless=True,
    expires=after(timedelta(days=3)),
    priority=2,
    still_true=still_invited,
    samples=samples(),
)
