"""The address someone signs in with. Every place that replaces one for someone else calls `change_address`.

Three guards work for every way of changing it, even plain SQL: `address_guard` deletes the addresses that no
longer match, `User.get_session_auth_hash` ends the sessions, and `AddressStillCurrent` refuses codes already
sent.
"""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed, email_confirmed, user_signed_up
from allauth.account.stages import LoginStage
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.db import IntegrityError, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from csf.forms.email_address import clean_address
from enrollments.models import User

SIGNED_UP = "signed_up_as"  # in the session of the browser in which the password was chosen
CHANGED = "account/email/email_changed"  # allauth's name for this notice


class AddressTaken(Exception):
    """Someone already signs in with this address."""


def is_taken(address: str, *, but_by: User | None = None) -> bool:
    others = User.objects.exclude(pk=but_by.pk) if but_by else User.objects.all()
    return others.filter(email__iexact=address).exists()


@transaction.atomic
def change_address(*, user: User, to: str) -> None:
    """Let `user` sign in with another address from now on, and nobody through the old one.

    The password, the sessions and the codes of the old address end, since whoever had that address may know
    them; a code sent to the new address opens the account. Both addresses get a notice. Raises AddressTaken,
    or ValidationError if it is not an address.
    """
    current = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    old, new = current.email, clean_address(to)
    if old == new:
        return
    current.email = new
    current.set_unusable_password()
    try:
        with transaction.atomic():
            current.save(update_fields=["email", "password"])
    except IntegrityError as error:
        raise AddressTaken from error
    EmailAddress.objects.create(user=current, email=new, primary=True, verified=False)
    user.email, user.password = new, current.password
    for address in (old, new):
        get_adapter().send_mail(CHANGED, address, {"user": current, "to_email": new})


class AddressStillCurrent(LoginStage):  # type: ignore[misc] # allauth has no types
    """Checked first, and again after every other stage: whether the address that a sign-in began with still
    belongs to the account."""

    key = "address_still_current"

    def handle(self) -> tuple[HttpResponse | None, bool]:
        began_with = self.login.email
        if self.login.user is None:  # allauth pretends, so that nobody learns who has an account
            return None, True
        emails = User.objects.filter(pk=self.login.user.pk).values_list("email", flat=True)
        if not began_with or began_with.lower() in emails:
            return None, True
        messages.error(self.request, "This address no longer opens the account.")
        return redirect("account_login"), False


# --- allauth's own doors ------------------------------------------------------------------------------------


@receiver(user_signed_up)
def remember_who_chose_the_password(request: HttpRequest, user: User, **kwargs: Any) -> None:
    request.session[SIGNED_UP] = user.pk


@receiver(email_confirmed)
def void_what_a_stranger_chose(request: HttpRequest, email_address: EmailAddress, **kwargs: Any) -> None:
    """Anybody can sign up with someone else's address and a password of their own. So when an address is
    confirmed in a browser that has not shown the password, everything that was set before is removed:
    password, second step, other addresses and, with the password, the sessions."""
    user = email_address.user
    if _has_shown_password(request, user):
        return
    had_password = user.has_usable_password()
    user.set_unusable_password()
    user.save(update_fields=["password"])
    Authenticator.objects.filter(user=user).delete()
    EmailAddress.objects.filter(user=user).exclude(pk=email_address.pk).delete()
    if had_password:
        messages.info(
            request, "For your safety, the password chosen at sign-up no longer works. You can set a new one."
        )


def _has_shown_password(request: HttpRequest, user: User) -> bool:
    if request.user == user or request.session.get(SIGNED_UP) == user.pk:
        return True
    return any(record["method"] == "password" for record in get_authentication_records(request, user))


@receiver(email_changed)
def end_other_sessions(
    request: HttpRequest, user: User, to_email_address: EmailAddress, **kwargs: Any
) -> None:
    """Change it for the parent, who confirmed it with a code: this browser stays signed in. allauth sends the
    notice to the old address."""
    if request.user == user:
        update_session_auth_hash(request, user)
    if kwargs.get("from_email_address"):
        context = {"user": user, "to_email": to_email_address.email}
        get_adapter().send_mail(CHANGED, to_email_address.email, context)
