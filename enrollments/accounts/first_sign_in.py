"""A sign-in link that needs no email, for the first owner: it works once and for a day.

The token depends on the account's last sign-in and its password, so any sign-in makes it invalid. It replaces
a code by email: the second factor is still required, or has to be set up, as after every other sign-in.
"""

import datetime

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import EmailAddress, Login
from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from csf import clock
from csf.clock import Now
from csf.forms.email_address import clean_address
from csf.refusal import NotPossible
from csf.staff.roles import Role, make_roles
from enrollments.models import User

LIFE_S = 24 * 3600


class _Tokens(PasswordResetTokenGenerator):
    key_salt = "enrollments.accounts.first_sign_in"

    def is_valid(self, user: User, token: str) -> bool:
        """True for a token of this account that is at most LIFE_S old."""
        if not self.check_token(user, token):
            return False
        made_s: int = int(token.split("-")[0], 36)
        return self._num_seconds(self._now()) - made_s <= LIFE_S

    def _now(self) -> datetime.datetime:
        return clock.now().replace(tzinfo=None)


tokens = _Tokens()


@transaction.atomic
def create_owner(address: str) -> tuple[User, str]:
    """The account of the owner, made if need be, and a link that signs in once.

    Raises NotPossible for an account of a family, and ValidationError if it is not an address.
    """
    address = clean_address(address)
    make_roles()
    user = User.objects.filter(email__iexact=address).first() or User(email=address)
    if user.household_id:
        raise NotPossible(f"{address} belongs to a family. Choose another address for the owner.")
    if not user.is_active and user.pk:
        raise NotPossible(f"The account of {address} is switched off.")
    if not user.pk:
        user.set_unusable_password()
    user.is_staff = user.is_superuser = True
    user.save()
    user.groups.add(*user.groups.model.objects.filter(name=Role.OWNER.value))
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"primary": True, "verified": True}
    )
    path = reverse("first_sign_in", args=[user.public_id, tokens.make_token(user)])
    return user, f"{settings.SITE_URL}{path}"


def sign_in(request: HttpRequest, user: User, token: str) -> HttpResponse | None:
    """Sign in through allauth's stages; None if the link is not valid any more."""
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not locked.is_active or not tokens.is_valid(locked, token):
            return None
        User.objects.filter(pk=locked.pk).update(last_login=Now())  # the link is used up, whatever follows
    locked.refresh_from_db()
    record_authentication(request, locked, method="code", email=locked.email)
    login = Login(user=locked, email=locked.email, redirect_url=reverse("admin:index"))
    answer: HttpResponse = perform_login(request, login)
    return answer
