"""The sidebar and the search box of the staff site. Each app adds its pages and lists."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse, reverse_lazy
from unfold.dataclasses import SearchResult

from csf.models import StaffTask

GROUPS = ["Families", "Classes", "Orders and money", "Email", "Operations"]
FOUND_AT_MOST = 8  # of each model: a search box is for going somewhere, the lists are for looking through

View = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class MenuEntry:
    """The list of a model, for those who may view it."""

    model: type[models.Model]
    title: str
    icon: str
    filters: str = ""


TASKS = MenuEntry(StaffTask, "Staff tasks", "task_alt")
_entries: defaultdict[str, list[MenuEntry]] = defaultdict(list)
_searched: list[type[models.Model]] = []


def add_to_menu(group: str, *entries: MenuEntry) -> None:
    if group not in GROUPS:
        raise ValueError(f"the menu has no group {group}")
    _entries[group].extend(entries)


def add_to_search(*models: type[models.Model]) -> None:
    """The search box looks through the search fields of their lists."""
    _searched.extend(models)


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


def page_urls(site: AdminSite) -> list[URLPattern]:
    return [path(f"{page.name}/", site.admin_view(page), name=page.name) for page in _pages]


def staff_page(name: str, *, title: str, icon: str, group: str, permission: str) -> Callable[[View], View]:
    """Adds a view to the staff site as `admin:<name>`, for those with the permission.

    The view renders a template that extends admin/base.html, with `admin.site.each_context(request)`.
    """

    def add(view: View) -> View:
        _pages.append(StaffPage(name, title, icon, group, permission, view))
        return view

    return add


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: groups of the pages and lists that this person may see."""
    start = {"title": "Today", "icon": "dashboard", "link": reverse_lazy("admin:index")}
    groups = [
        {"title": title, "items": _page_entries(request, title) + _list_entries(request, _entries[title])}
        for title in GROUPS
    ]
    first = [start, *_list_entries(request, [TASKS])]
    return [{"items": first}, *(group for group in groups if group["items"])]


def _page_entries(request: HttpRequest, group: str) -> list[dict[str, Any]]:
    return [
        {"title": page.title, "icon": page.icon, "link": reverse(f"admin:{page.name}")}
        for page in _pages
        if page.group == group and request.user.has_perm(page.permission)
    ]


def _list_entries(request: HttpRequest, entries: list[MenuEntry]) -> list[dict[str, Any]]:
    return [
        {"title": entry.title, "icon": entry.icon, "link": _address(entry)}
        for entry in entries
        if _may_view(request, entry.model)
    ]


def _address(entry: MenuEntry) -> str:
    url = reverse(_url_name(entry.model, "changelist"))
    return f"{url}?{entry.filters}" if entry.filters else url


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Rows for the search box, by the search fields of their lists."""
    searched = [model for model in _searched if "\0" not in term and _may_view(request, model)]
    return [result for model in searched for result in _find_in(request, model, term)]


def _find_in(request: HttpRequest, model: type[models.Model], term: str) -> list[SearchResult]:
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


def _may_view(request: HttpRequest, model: type[models.Model]) -> bool:
    return admin.site.get_model_admin(model).has_view_permission(request)


def _url_name(model: type[models.Model], page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
