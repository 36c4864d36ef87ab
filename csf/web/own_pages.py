"""Where a visitor may be redirected: to a page of this site, and one that can be viewed."""

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme

View = Callable[..., HttpResponse]


def is_own_path(url: str) -> bool:
    """A path without a host: `//localhost/` is another site, even if we answer to that name."""
    return url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)


def button_of(page: str) -> Callable[[View], View]:
    """For views that only take a form: `page` is the name of the page with its button. Opening such an
    address, as a browser does after a sign-in or from its history, leads there."""

    def only_post(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if request.method == "POST":
                return view(request, *args, **kwargs)
            refused = HttpResponseNotAllowed(["POST"])
            refused.content = render(request, "button.html", {"back": _with_button(page, kwargs)}).content
            return refused

        guarded.page = page  # type: ignore[attr-defined]
        return guarded

    return only_post


def page_to_see(url: str) -> str:
    """The page with the button if the address takes only forms, else the address itself."""
    try:
        match = resolve(urlsplit(url).path)
    except Resolver404:
        return url
    page = getattr(match.func, "page", None)
    return url if page is None else _with_button(page, match.kwargs)


def _with_button(page: str, kwargs: dict[str, object]) -> str:
    try:
        return reverse(page, kwargs=kwargs)
    except NoReverseMatch:
        return reverse(page)
