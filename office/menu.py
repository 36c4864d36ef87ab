"""The sidebar and the search box of the staff site."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from billing.models import (
    BookDifference,
    Cancellation,
    ChargeAttempt,
    Closure,
    Credit,
    Installment,
    Payment,
    PaymentPlan,
    Refund,
    StripeEvent,
)
from csf.models import ProofRun, StaffTask
from csf.staff.pages import pages
from enrollments.models import Child, Course, Enrollment, Household, Location, Program, User
from notifications.models import Alert, EmailMessage, EmailPreference, FamilyMessage, Suppression
from orders.models import Order, PromoCode

Model = type[models.Model]

MENU: dict[str, dict[Model, str]] = {
    "Families": {Household: "family_restroom", Child: "child_care", User: "person"},
    "Classes": {
        Course: "sports",
        Enrollment: "how_to_reg",
        Program: "category",
        Location: "location_on",
        Closure: "event_busy",
    },
    "Orders and money": {
        Order: "receipt_long",
        PromoCode: "sell",
        Installment: "calendar_month",
        Payment: "payments",
        Refund: "currency_exchange",
        Cancellation: "event_busy",
        Credit: "account_balance_wallet",
        BookDifference: "balance",
        ChargeAttempt: "credit_card",
        PaymentPlan: "event_repeat",
    },
    "Email": {
        EmailMessage: "mail",
        FamilyMessage: "forward_to_inbox",
        EmailPreference: "tune",
        Suppression: "unsubscribe",
    },
    "Operations": {ProofRun: "verified", StripeEvent: "webhook", Alert: "notifications_active"},
}
"""The lists of each group, with their icons. Their titles are the models' own names."""
SEARCHED = [Household, Child, Course, Order]
FOUND_AT_MOST = 8  # of each model: the search box is for jumping to a page, the lists are for browsing


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the pages and lists that this person may see."""
    today = {"title": "Today", "icon": "dashboard", "link": reverse("admin:index")}
    groups = [
        {"title": title, "items": [*_pages(request, title), *_lists(request, lists)]}
        for title, lists in MENU.items()
    ]
    first = [today, *_lists(request, {StaffTask: "task_alt"})]
    return [{"items": first}, *(group for group in groups if group["items"])]


def _pages(request: HttpRequest, group: str) -> Iterable[dict[str, Any]]:
    for page in pages:
        if page.group == group and request.user.has_perm(page.permission):
            yield {"title": page.title, "icon": page.icon, "link": reverse(f"admin:{page.name}")}


def _lists(request: HttpRequest, lists: dict[Model, str]) -> Iterable[dict[str, Any]]:
    for model, icon in lists.items():
        if _may_view(request, model):
            title = capfirst(str(model._meta.verbose_name_plural))
            yield {"title": title, "icon": icon, "link": reverse(_url_name(model, "changelist"))}


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Rows for the search box, by the search fields of their lists."""
    searched = [model for model in SEARCHED if "\0" not in term and _may_view(request, model)]
    return [result for model in searched for result in _find_in(request, model, term)]


def _find_in(request: HttpRequest, model: Model, term: str) -> list[SearchResult]:
    model_admin: Any = admin.site.get_model_admin(model)
    everything = model_admin.get_queryset(request)
    if model_admin.list_select_related:
        everything = everything.select_related(*model_admin.list_select_related)
    rows, has_duplicates = model_admin.get_search_results(request, everything, term)
    return [
        SearchResult(
            title=str(row),
            description=" ".join([str(model_admin.opts.verbose_name), model_admin.search_note(row)]).strip(),
            link=reverse(_url_name(model, "change"), args=[row.pk]),
            icon="arrow_forward",
        )
        for row in (rows.distinct() if has_duplicates else rows)[:FOUND_AT_MOST]
    ]


def _may_view(request: HttpRequest, model: Model) -> bool:
    return admin.site.get_model_admin(model).has_view_permission(request)


def _url_name(model: Model, page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
