"""Middleware: nobody reads a family's pages out of a browser's cache, or a proxy's, after signing out.

Nor the pages on the way in: they show the address that was typed, and open accounts.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_cache_control


def private_pages(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """`no-store` on everything that someone signed in sees and on the account's pages, unless a page has a
    rule of its own."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        is_private = request.user.is_authenticated or request.path.startswith(reverse("account"))
        if is_private and not response.has_header("Cache-Control"):
            patch_cache_control(response, no_store=True, private=True)
        return response

    return middleware
