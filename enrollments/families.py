"""Who is asking: the household of the signed-in guardian."""

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core import ratelimit
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from enrollments.models import Household, User


def guardian(request: HttpRequest) -> User | None:
    """The signed-in guardian; None for visitors and for staff without a family."""
    user = request.user
    return user if isinstance(user, User) and user.household_id else None


def household_of(request: HttpRequest) -> Household:
    """The set every parent page starts from. 404 for staff without a family."""
    user = guardian(request)
    if user is None or user.household is None:
        raise Http404("no family")
    return user.household


def address_of(request: HttpRequest) -> str | None:
    """The visitor's address, not that of a proxy before us (TRUSTED_PROXY_COUNT); None if it is not known."""
    try:
        found: str = get_adapter(request).get_client_ip(request)
        return str(ip_address(found.partition("%")[0]))  # PostgreSQL takes no zones
    except (PermissionDenied, ValueError):
        return None


def has_verified_email(user: User) -> bool:
    found: bool = EmailAddress.objects.filter(user=user, primary=True, verified=True).exists()
    return found


def verified_email_to_post(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For views that take money: receipts and reminders go to that address, and thieves try cards from
    throwaway accounts. Sign-in asks for it already; this holds whatever way somebody got in."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if (
            request.method == "POST"
            and isinstance(request.user, User)
            and not has_verified_email(request.user)
        ):
            messages.error(
                request, "Please confirm your email address before you pay: press “Send me a code”."
            )
            return redirect("account_email")
        return view(request, *args, **kwargs)

    return guarded


def is_too_often(request: HttpRequest, action: str) -> bool:
    """Whether this person goes beyond the limit that ACCOUNT_RATE_LIMITS sets for the action."""
    return not ratelimit.consume(request, action=action, user=request.user)
