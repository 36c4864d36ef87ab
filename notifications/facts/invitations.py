"""What the email that asks somebody to join a family says, and to whom."""

from collections.abc import Iterable
from datetime import timedelta

from csf import clock
from enrollments.models import GuardianInvitation, User
from notifications.choices.links import invitation_path
from notifications.kinds import EmailKind
from notifications.spec import EmailSpec, Snapshot


def invited(fact: GuardianInvitation) -> list[User]:
    """Without the name that somebody else typed: nobody has shown yet that the address is theirs."""
    owner = User.objects.filter(email__iexact=fact.email).only("pk").first()
    return [User(pk=owner.pk if owner else None, email=fact.email)]


def invitation_snapshot(fact: GuardianInvitation) -> Snapshot:
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


EMAILS: dict[str, EmailSpec] = {
    EmailKind.GUARDIAN_INVITATION: EmailSpec(
        recipients=invited,
        snapshot=invitation_snapshot,
        key=lambda fact: f"invitation:{fact.pk}",
        accent="blue",
        is_copy_harmless=True,
        expires=lambda fact: clock.now() + timedelta(days=3),
        priority=2,
        still_true=still_invited,
    )
}
