"""The staff site: which admins and pages it takes, what they may run, its menu and its search."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csp.decorators import csp_replace
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse, reverse_lazy
from unfold.admin import ModelAdmin
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

# Alpine, which draws Unfold's menus, evaluates strings and sets style attributes. The rest of the policy is
# the site's.
ADMIN_CSP = {"script-src": ["'self'", "'unsafe-eval'"], "style-src": ["'self'", "'unsafe-inline'"]}

# Group, then model (with a filter of its list), title and icon of each entry.
MENU: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "Families",
        [
            ("enrollments.household", "Families", "family_restroom"),
            ("enrollments.child", "Children", "child_care"),
            ("enrollments.user", "Users", "person"),
        ],
    ),
    (
        "Classes",
        [
            ("enrollments.course", "Classes", "sports"),
            ("enrollments.enrollment", "Enrollments", "how_to_reg"),
            ("enrollments.program", "Programs", "category"),
            ("enrollments.location", "Locations", "location_on"),
            ("billing.closure", "Cancelled classes", "event_busy"),
        ],
    ),
    (
        "Orders and money",
        [
            ("orders.order", "Orders", "receipt_long"),
            ("billing.installment", "Installments", "calendar_month"),
            ("billing.payment", "Payments", "payments"),
            ("billing.refund?status__exact=requested", "Refunds to approve", "currency_exchange"),
            ("billing.cancellation", "Cancelled places", "event_busy"),
            ("billing.credit", "Credit", "account_balance_wallet"),
            ("billing.bookdifference", "Differences with Stripe", "balance"),
            ("billing.chargeattempt", "Charge attempts", "credit_card"),
            ("billing.paymentplan", "Payment plans", "event_repeat"),
            ("orders.promocode", "Promo codes", "sell"),
        ],
    ),
    (
        "Email",
        [
            ("notifications.emailmessage", "Emails", "mail"),
            ("notifications.familymessage", "Messages to families", "forward_to_inbox"),
            ("notifications.emailpreference", "Email preferences", "tune"),
            ("notifications.suppression", "Suppressed addresses", "unsubscribe"),
        ],
    ),
    (
        "Operations",
        [
            ("notifications.alert", "Alerts", "notifications_active"),
            ("csf.proofrun", "Proofs", "verified"),
            ("billing.stripeevent", "Stripe events", "webhook"),
        ],
    ),
]
TASKS = ("csf.stafftask", "Staff tasks", "task_alt")
FOUND = ["enrollments.household", "enrollments.child", "enrollments.course", "orders.order"]
FOUND_AT_MOST = 8  # of each model: a search box is for going somewhere, the lists are for looking through


View = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class StaffPage:
    """A page that is no list of one model's rows; its address is below the staff site's."""

    name: str
    title: str
    icon: str
    group: str
    """The group of the menu that it leads."""
    permission: str
    view: View

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        return self.view(request)


_pages: list[StaffPage] = []


def staff_page(name: str, *, title: str, icon: str, group: str, permission: str) -> Callable[[View], View]:
    """Adds a view to the staff site as `admin:<name>`, for those with the permission.

    The view renders a template that extends admin/base.html, with `admin.site.each_context(request)`.
    """

    def add(view: View) -> View:
        _pages.append(StaffPage(name, title, icon, group, permission, view))
        return view

    return add


class StaffSite(UnfoldAdminSite):  # type: ignore[misc] # Unfold brings no types
    """Takes only admins written for it.

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
        return [path(f"{page.name}/", self.admin_view(page), name=page.name) for page in _pages]


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: groups of the pages and lists that this person may see."""
    start = {"title": "Today", "icon": "dashboard", "link": reverse_lazy("admin:index")}
    groups = [
        {"title": title, "items": _page_entries(request, title) + _entries(request, entries)}
        for title, entries in MENU
    ]
    first = [start, *_entries(request, [TASKS])]
    return [{"items": first}, *(group for group in groups if group["items"])]


def _page_entries(request: HttpRequest, group: str) -> list[dict[str, Any]]:
    return [
        {"title": page.title, "icon": page.icon, "link": reverse(f"admin:{page.name}")}
        for page in _pages
        if page.group == group and request.user.has_perm(page.permission)
    ]


def _entries(request: HttpRequest, entries: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    found = []
    for entry, title, icon in entries:
        label, _, query = entry.partition("?")
        if _may_view(request, label):
            url = reverse(_url_name(label, "changelist"))
            found.append({"title": title, "icon": icon, "link": f"{url}?{query}" if query else url})
    return found


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Rows for the search box, by the search fields of their lists."""
    labels = [label for label in FOUND if "\0" not in term and _may_view(request, label)]
    return [result for label in labels for result in _find_in(request, label, term)]


def _find_in(request: HttpRequest, label: str, term: str) -> list[SearchResult]:
    model_admin: Any = admin.site.get_model_admin(apps.get_model(label))
    everything = model_admin.get_queryset(request)
    if model_admin.list_select_related:
        everything = everything.select_related(*model_admin.list_select_related)
    rows, has_duplicates = model_admin.get_search_results(request, everything, term)
    return [
        SearchResult(
            title=str(row),
            description=" ".join([str(model_admin.opts.verbose_name), model_admin.search_note(row)]).strip(),
            link=reverse(_url_name(label, "change"), args=[row.pk]),
            icon="arrow_forward",
        )
        for row in (rows.distinct() if has_duplicates else rows)[:FOUND_AT_MOST]
    ]


def _may_view(request: HttpRequest, label: str) -> bool:
    return admin.site.get_model_admin(apps.get_model(label)).has_view_permission(request)


def _url_name(label: str, page: str) -> str:
    return f"admin:{label.replace('.', '_')}_{page}"
