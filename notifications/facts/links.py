"""The links at the foot of emails that need no login. Each does one thing for one person, and so can anyone
to whom the email is forwarded: they only show and change choices about emails.

They do not expire, because unsubscribing must work for as long as someone keeps the email.
"""

from functools import lru_cache
from typing import Any

from django.core import signing

from csf.web.fast_reverse import path_to
from enrollments.models import GuardianInvitation, User

_SALT = "csf.notifications.preferences"
_UNSUBSCRIBE_SALT = "csf.notifications.unsubscribe"
_INVITATION_SALT = "csf.notifications.invitation"


class BadLink(Exception):
    """Forged, cut off, or of someone who is gone."""


@lru_cache
def _signer(salt: str) -> signing.Signer:
    return signing.Signer(salt=salt)


def preferences_path(user: User) -> str:
    return path_to("preferences", _signer(_SALT).sign_object(str(user.public_id)))


def unsubscribe_path(user: User, choice: str) -> str:
    return path_to("unsubscribe", _signer(_UNSUBSCRIBE_SALT).sign_object([choice, str(user.public_id)]))


def invitation_path(invitation: GuardianInvitation) -> str:
    return path_to("invitation", _signer(_INVITATION_SALT).sign_object(str(invitation.public_id)))


def user_of(token: str) -> User:
    """Raises BadLink."""
    return _user(_read(_SALT, token))


def unsubscriber_of(token: str) -> tuple[User, str]:
    """The reader and the kind they unsubscribe from. Raises BadLink."""
    choice, public_id = _read(_UNSUBSCRIBE_SALT, token)
    return _user(public_id), choice


def invitation_of(token: str) -> GuardianInvitation:
    """Raises BadLink."""
    invitations = GuardianInvitation.objects.select_related("household", "invited_by", "user")
    try:
        return invitations.get(public_id=_read(_INVITATION_SALT, token))
    except GuardianInvitation.DoesNotExist as error:
        raise BadLink from error


def _read(salt: str, token: str) -> Any:
    try:
        return _signer(salt).unsign_object(token)
    except signing.BadSignature as error:
        raise BadLink from error


def _user(public_id: str) -> User:
    try:
        return User.objects.get(public_id=public_id)
    except User.DoesNotExist as error:
        raise BadLink from error
