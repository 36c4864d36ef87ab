"""An invited guardian joins the family, and its emails from then on."""

from datetime import datetime

from django.db import transaction

from enrollments.families.invitations import accept_invitation
from enrollments.models import GuardianInvitation, User
from notifications.preferences.rules import COPIES, Origin, choose


@transaction.atomic
def join_family(*, invitation: GuardianInvitation, now: datetime) -> User:
    """Account and copies together. A second click does not turn copies on again. Raises the same as
    `accept_invitation`."""
    user = accept_invitation(invitation=invitation, now=now)
    if not user.email_preferences.filter(choice=COPIES).exists():
        choose(user, COPIES, is_on=True, origin=Origin.INVITATION)
    return user
