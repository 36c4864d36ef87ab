"""Pages of the staff site that are no list of one model's rows. Each app adds its own."""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

View = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class StaffPage:
    """Its address is below the staff site's."""

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


pages: list[StaffPage] = []


def page_urls(site: AdminSite) -> list[URLPattern]:
    return [path(f"{page.name}/", site.admin_view(page), name=page.name) for page in pages]


def staff_page(name: str, *, title: str, icon: str, group: str, permission: str) -> Callable[[View], View]:
    """Adds a view to the staff site as `admin:<name>`, for those with the permission.

    The view renders a template that extends admin/base.html, with `admin.site.each_context(request)`.
    """

    def add(view: View) -> View:
        pages.append(StaffPage(name, title, icon, group, permission, view))
        return view

    return add
