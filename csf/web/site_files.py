"""The files that browsers, phones and search engines request from every site, and a header that all pages
have."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "usb")
)


def permissions_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """No page of ours needs the camera, the location or another device."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return middleware


@login_not_required
def robots(request: HttpRequest) -> HttpResponse:
    return render(request, "robots.txt", content_type="text/plain")


@login_not_required
def manifest(request: HttpRequest) -> HttpResponse:
    icons = [
        {"src": static("favicon.svg"), "sizes": "any", "type": "image/svg+xml"},
        {"src": static("apple-touch-icon.png"), "sizes": "180x180", "type": "image/png"},
    ]
    found = {"name": settings.SCHOOL_NAME, "start_url": "/", "display": "browser", "icons": icons}
    return JsonResponse(found, content_type="application/manifest+json")


@login_not_required
def icon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for these at the root, whatever the page says."""
    return redirect(static(request.path.removeprefix("/")))


# Where password managers look (w3.org/TR/change-password-url).
change_password = login_not_required(RedirectView.as_view(pattern_name="account_change_password"))

urlpatterns = [
    path("robots.txt", robots),
    path("manifest.webmanifest", manifest, name="manifest"),
    path("favicon.ico", icon),
    path("apple-touch-icon.png", icon),
    path(".well-known/change-password", change_password),
]
