"""Who is asking: the household of the signed-in guardian."""

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.account.utils import get_login_redirect_url
from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.csrf import csrf_failure as refuse_forgery

from enrollments.models import Household, User


def guardian(request: HttpRequest) -> User | None:
    """The signed-in guardian; None for visitors and for staff without a family."""
    user = request.user
    return user if isinstance(user, User) and user.household_id else None


def household_of(request: HttpRequest) -> Household:
    """The queryset every parent page starts from. 404 for staff without a family."""
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
    throwaway accounts. Sign-in already requires it; this applies to every way of signing in."""

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
    """Whether this person exceeds the limit that ACCOUNT_RATE_LIMITS sets for the action."""
    return not ratelimit.consume(request, action=action, user=request.user)


SIGNED_OUT = "You were signed out, so this was not done yet. Please sign in and press the button again."


class SignInRequired(LoginRequiredMiddleware):
    """Explains why a button leads to the sign-in page."""

    def handle_no_permission(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseRedirect:
        if request.method == "POST":
            messages.info(request, SIGNED_OUT)
        return super().handle_no_permission(request, view_func)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A sign-in form sent twice: the first one did it, and changed the token that the second one carries."""
    match = request.resolver_match
    if match and match.url_name in {"account_login", "account_confirm_login_code"} and guardian(request):
        return redirect(get_login_redirect_url(request))
    return refuse_forgery(request, reason)
