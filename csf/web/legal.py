"""What parents agree to before they pay: the terms, and how the school uses their data."""

from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


def own_text(source: str) -> str:
    """The text of the school's file; empty if there is none, or if `source` is an address. Raises OSError or
    UnicodeDecodeError."""
    return "" if not source or source.startswith("https://") else Path(source).read_text(encoding="utf-8")


@login_not_required
def terms(request: HttpRequest) -> HttpResponse:
    return _page(request, settings.TERMS, "terms.html")


@login_not_required
def privacy(request: HttpRequest) -> HttpResponse:
    return _page(request, settings.PRIVACY, "privacy.html")


def _page(request: HttpRequest, source: str, template: str) -> HttpResponse:
    if source.startswith("https://"):
        return redirect(source)
    return render(request, template, {"own_text": own_text(source)})
