"""Rows that parents choose from: they are deleted while no facts refer to them, and archived and restored
afterwards."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models.deletion import Collector, ProtectedError, RestrictedError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from csf.clock import Now
from csf.refusal import NotPossible
from csf.staff.model_admin import ModelAdmin


class Archived(admin.SimpleListFilter):
    title = "archived"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Archived"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        nothing, *others = super().choices(changelist)
        return [{**nothing, "display": "Not archived"}, *others]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "all" or request.POST.get("action") == "restore_rows":  # from a row's own page
            return queryset
        return queryset.filter(archived_at__isnull=self.value() != "yes")


class ArchiveAdmin(ModelAdmin):
    """Archived rows stay for the facts that refer to them, but no list and no choice shows them."""

    actions = ("archive_rows", "restore_rows")

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [Archived, *super().get_list_filter(request)]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """The choices of a form leave out archived rows."""
        page = request.resolver_match and request.resolver_match.url_name
        rows = queryset.filter(archived_at=None) if page == "autocomplete" else queryset
        return super().get_search_results(request, rows, search_term)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not has_facts(obj))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Anyone who may delete the row may delete its parts with it."""
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    def row_action(self, request: HttpRequest, obj: Any) -> str | None:
        return "restore_rows" if obj.archived_at else "archive_rows"

    @admin.action(description="Archive", permissions=["change"])
    def archive_rows(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset.filter(archived_at=None):
            try:
                self.archive(request, row)
            except NotPossible as why:
                messages.error(request, f"{row} is not archived: {why}")
            else:
                self.log_change(request, row, "Archived.")
                messages.success(request, _archived(row))

    @admin.action(description="Restore", permissions=["change"])
    def restore_rows(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset.exclude(archived_at=None):
            type(row).objects.filter(pk=row.pk).update(archived_at=None)
            self.log_change(request, row, "Restored.")
        messages.success(request, "Restored. Parents will not see it until you publish it or turn it on.")

    def archive(self, request: HttpRequest, row: Any) -> None:
        """Raises NotPossible."""
        type(row).objects.filter(pk=row.pk).update(archived_at=Now())


def _archived(row: Any) -> SafeString:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html(
        '{} is archived: parents and the lists no longer show it. <a class="text-link" href="{}">Open it to '
        "restore it</a>.",
        row,
        url,
    )


def has_facts(row: models.Model) -> bool:
    """Whether rows that must stay refer to this one, so that it cannot be deleted."""
    try:
        Collector(using="default", origin=row).collect([row])
    except (ProtectedError, RestrictedError):
        return True
    return False
