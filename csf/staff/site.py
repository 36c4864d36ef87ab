"""The staff site: which admins and pages it takes, and what they may run."""

from collections.abc import Callable
from typing import Any

from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from csf.staff.pages import page_urls

# Alpine, which draws Unfold's menus, evaluates strings and sets style attributes. The rest of the policy is
# the site's.
ADMIN_CSP = {"script-src": ["'self'", "'unsafe-eval'"], "style-src": ["'self'", "'unsafe-inline'"]}


class StaffSite(UnfoldAdminSite):
    """Accepts only admins written for it.

    What packages register by themselves offers to add invoices and shows keys and TOTP secrets, and whatever
    they add with their next release would appear unseen.
    """

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if admin_class and issubclass(admin_class, ModelAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        with_policy: Callable[..., Any] = csp_replace(ADMIN_CSP)(super().admin_view(view, cacheable))
        return with_policy

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """On the page of the account, which also tells its owner by email."""
        return redirect("account_change_password")

    def extra_urls(self) -> list[URLPattern]:
        return page_urls(self)
