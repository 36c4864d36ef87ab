"""Staff sign-ins: a second factor before any admin page, secrets kept encrypted, short sessions."""

from collections.abc import Callable
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from csf import clock
from csf.encryption import Sealed, Unreadable, current_key_id, seal, unseal
from enrollments.models import User

OWNER = "second factor"
SECRETS = ("secret", "seed")  # what allauth encrypts of an authenticator's data: of TOTP, of recovery codes
SEEN_EVERY_S = 60


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc] # allauth has no types
    """Keeps the secrets of a second factor unreadable in the database."""

    def encrypt(self, text: str) -> str:
        return seal(text, owner=OWNER).token

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(Sealed(encrypted_text), owner=OWNER)


def staff_sessions(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: ends staff sessions that were idle or lasted too long, and keeps staff out of the admin
    until this session has shown a second factor."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        if isinstance(user, User) and user.is_staff:
            if _is_over(request):
                logout(request)
                messages.info(request, "You were signed out to keep our data safe. Please sign in again.")
            elif to := _missing_factor(request, user):
                return to
        return get_response(request)

    return middleware


def _is_over(request: HttpRequest) -> bool:
    now = int(clock.now().timestamp())
    since, seen = request.session.get("staff_since", now), request.session.get("staff_seen", now)
    if now - since > settings.STAFF_SESSION_S or now - seen > settings.STAFF_IDLE_S:
        return True
    if now - request.session.get("staff_seen", 0) >= SEEN_EVERY_S:  # not a write for each page
        request.session.update({"staff_since": since, "staff_seen": now})
    return False


def _missing_factor(request: HttpRequest, user: User) -> HttpResponse | None:
    """Where to go first: to set up the second factor, or to enter it. A session from before it was set up has
    not shown it."""
    if not settings.STAFF_MFA_REQUIRED or not request.path.startswith(reverse("admin:index")):
        return None
    if not is_mfa_enabled(user, [Authenticator.Type.TOTP]):
        messages.info(
            request, "Before you can use the office pages, please set up your second step to sign in."
        )
        return redirect("mfa_activate_totp")
    if not any(record["method"] == "mfa" for record in get_authentication_records(request, user)):
        return redirect(f"{reverse('mfa_reauthenticate')}?{urlencode({'next': request.get_full_path()})}")
    return None


def rotate_second_factors() -> tuple[int, int]:
    """Encrypt them with the current key; return how many were, and how many cannot be read."""
    done, unreadable = 0, 0
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().get(pk=pk)
            older = {
                name: Sealed(row.data[name])
                for name in SECRETS
                if name in row.data and Sealed(row.data[name]).key_id != current_key_id()
            }
            try:
                row.data |= {
                    name: seal(unseal(value, owner=OWNER), owner=OWNER).token for name, value in older.items()
                }
            except Unreadable:
                unreadable += 1
            else:
                row.save(update_fields=["data"])
                done += bool(older)
    return done, unreadable
