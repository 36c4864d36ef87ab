"""The base classes of all admins."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.admin.options import IS_POPUP_VAR
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin as UnfoldModelAdmin

from csf.forms.fields import CLOCK_FIELDS, check_year, field_for_hundredths
from csf.staff.columns import link, named, readable
from csf.staff.panels import actions_of, buttons_of, pages_of, panels_of
from csf.staff.strict_lists import StrictChangeList, allowed_lookups


class ModelAdmin(UnfoldModelAdmin):
    """With buttons above and panels below a row's form, and lists that do not count rows and accept only
    their own filters."""

    show_full_result_count = False
    list_per_page = 50
    list_defer: ClassVar[Sequence[str]] = ()  # large columns that the list does not show
    change_form_outer_before_template = "admin/_row_action.html"
    change_form_outer_after_template = "admin/_panels.html"
    object_history_template = "admin/edits.html"
    formfield_overrides = CLOCK_FIELDS

    def search_note(self, obj: Any) -> str:
        """What distinguishes this row from others with the same name in the results of the search box."""
        return ""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [path(route, view(page), name=name) for route, page, name in pages_of[self.model]]
        return [*own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        page = request.resolver_match and request.resolver_match.url_name
        return rows.defer(*self.list_defer) if page and page.endswith("_changelist") else rows

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Changes made by hand, with a link back to the row."""
        back = {
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id])
        }
        page: HttpResponse = super().history_view(request, object_id, (extra_context or {}) | back)
        return page

    def get_list_display(self, request: HttpRequest) -> Any:
        return readable(named(self.model, super().get_list_display(request), str))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = field_for_hundredths(db_field) or super().formfield_for_dbfield(db_field, request, **options)
        if isinstance(db_field, models.DateField) and field is not None:
            field.validators = [*field.validators, check_year]
        if isinstance(db_field, models.DateTimeField) and field is not None:
            field.help_text = (
                f"{db_field.help_text} Time at the school ({settings.SCHOOL_TIME_ZONE}).".strip()
            )
        if isinstance(db_field, models.ForeignKey | models.ManyToManyField) and field is not None:
            target = db_field.related_model._meta
            names = {
                target.model_name: target.verbose_name,
                f"{target.model_name}s": target.verbose_name_plural,
            }
            field.label = capfirst(names.get(db_field.name, field.label))
        return field

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A read-only page shows money and percentages; the form of a new row shows only what is typed."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            shown = set(self.get_readonly_fields(request, obj))
            return _without(shown, fieldsets)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, rest | {"fields": readable(named(self.model, rest["fields"], link))})
            for title, rest in fieldsets
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StrictChangeList]:
        return StrictChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        list_filter = self.get_list_filter(request) if request else self.list_filter
        return lookup in allowed_lookups(self.model, list_filter, self.date_hierarchy)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """PostgreSQL does not accept NUL, and autocomplete fields pass on whatever was sent."""
        found: tuple[Any, bool] = super().get_search_results(request, queryset, search_term.replace("\0", ""))
        return found

    def get_actions(self, request: HttpRequest) -> dict[Any, Any]:
        actions: dict[Any, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)  # rows are deleted one by one, on their pages
        for permission, title, act in actions_of[self.model]:
            if IS_POPUP_VAR not in request.GET and request.user.has_perm(permission):
                actions[act.__name__] = (act, act.__name__, title)
        return actions

    def row_action(self, request: HttpRequest, obj: Any) -> str | None:
        """The name of the list's action that this row's page offers as a button."""
        return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if obj := kwargs.get("obj"):
            makers = panels_of[self.model]
            context["panels"] = [
                make(obj) for permission, make in makers if request.user.has_perm(permission)
            ]
            context["buttons"] = [button for make in buttons_of[self.model] for button in make(request, obj)]
            action = self.get_actions(request).get(self.row_action(request, obj))
            context["row_action"] = action and {"name": action[1], "title": action[2]}
        page: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return page


def _without(names: set[Any], fieldsets: Any) -> Any:
    """The fieldsets without the fields of these names, and without those left empty."""
    kept = []
    for title, rest in fieldsets:
        rows = [row if isinstance(row, list | tuple) else (row,) for row in rest["fields"]]
        left = [tuple(name for name in row if name not in names) for row in rows]
        if any(left):
            kept.append((title, rest | {"fields": [row for row in left if row]}))
    return kept


class ReadOnly:
    """For facts, money and states, which never change once they are written."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    pass


class TransitionAdmin(ReadOnlyAdmin):
    """Changes of state of one model; `parent` is its foreign key."""

    parent: ClassVar[str]
    list_filter = ["to_status"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        return ["created_at", self.parent, "from_status", "to_status", "by", "reason"]

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return [self.parent, "from_status", "to_status", "by", "reason", "created_at"]
