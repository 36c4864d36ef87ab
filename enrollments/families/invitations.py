"""Inviting another guardian into a family, and joining it."""

from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from csf.forms.email_address import clean_address
from enrollments.accounts.addresses import AddressTaken
from enrollments.locks import lock_household
from enrollments.models import GuardianInvitation, Household, User

INVITATIONS_A_DAY = 5  # of a family: strangers get these emails too


class NotInvited(Exception):
    """Its text says why, to the parent. It reveals nothing about other families."""


class InvitationOver(Exception):
    """Withdrawn, or too old."""


@transaction.atomic
def invite_guardian(
    *, household: Household, by: User, first_name: str, last_name: str, email: str, now: datetime
) -> GuardianInvitation:
    """Only the owner of the address learns whether it has an account, in the invitation itself.

    Raises NotInvited.
    """
    lock_household(household.pk)
    email = clean_address(email)
    if email == by.email.lower():
        raise NotInvited("This is your own address.")
    if household.guardians.filter(email__iexact=email).exists():
        raise NotInvited("This address already belongs to your family.")
    if household.invitations.open().filter(email=email).exists():
        raise NotInvited("You have already invited this address. The invitation has not been answered yet.")
    if household.invitations.filter(created_at__gt=now - timedelta(days=1)).count() >= INVITATIONS_A_DAY:
        raise NotInvited(f"You can send {INVITATIONS_A_DAY} invitations a day. Please try again tomorrow.")
    return GuardianInvitation.objects.create(
        household=household, invited_by=by, first_name=first_name, last_name=last_name, email=email
    )


@transaction.atomic
def accept_invitation(*, invitation: GuardianInvitation, now: datetime) -> User:
    """Return the new guardian; the same one after a second click. Raises InvitationOver or AddressTaken."""
    invitation = GuardianInvitation.objects.select_for_update(of=("self",), no_key=True).get(pk=invitation.pk)
    if invitation.user:
        return invitation.user
    if not invitation.is_open(now):
        raise InvitationOver
    invitation.user = _create_guardian(invitation)
    invitation.accepted_at = now
    invitation.save(update_fields=["user", "accepted_at"])
    return invitation.user


def _create_guardian(invitation: GuardianInvitation) -> User:
    """Without a password: they sign in with a code. The link came to that address, so it is theirs."""
    try:
        with transaction.atomic():
            user = User.objects.create_user(
                invitation.email,
                household=invitation.household,
                first_name=invitation.first_name,
                last_name=invitation.last_name,
            )
            EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    except IntegrityError as error:
        raise AddressTaken from error
    return user
