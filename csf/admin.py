"""What all admins share, and the admins of the operational tables and of the queue."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin as UnfoldModelAdmin

from csf.forms.fields import CLOCK_FIELDS, check_year, field_for_hundredths
from csf.models import Cluster, Instance, JobRun, ProofRun, StaffTask
from csf.money import money_text, percent_text
from csf.staff.strict_lists import StrictChangeList, allowed_lookups
from csf.staff.tasks import subjects_in_words
from csf.state import StatefulModel
from csf.templatetags.csf_format import moment

Column = Callable[[Any], Any]

# Colours of Unfold's labels by state; a state that is not named is grey.
BADGES = defaultdict(
    str,
    dict.fromkeys(["active", "paid", "confirmed", "succeeded", "sent", "delivered", "processed"], "success")
    | dict.fromkeys(
        ["approved", "held", "offered", "placed", "charging", "sending", "waiting", "queued", "received"],
        "info",
    )
    | dict.fromkeys(
        [
            "requested",
            "unknown",
            "waitlisted",
            "retry_wait",
            "needs_card",
            "needs_auth",
            "partly_paid",
            "not_sent",
        ],
        "warning",
    )
    | dict.fromkeys(["failed", "parked", "declined", "rejected", "refused", "bounced", "unpaid"], "danger"),
)


# --- Columns ------------------------------------------------------------------------------------------------


def badge(state: str, text: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"type": BADGES[state], "text": text})


def state(field: str = "status", title: str = "") -> Column:
    """A column that shows a field with choices as a coloured label."""

    @admin.display(description=title or field, ordering=field)
    def shown(obj: Any) -> SafeString:
        return badge(getattr(obj, field), getattr(obj, f"get_{field}_display")())

    shown.__name__ = f"{field}_badge"
    return shown


def money(field: str, title: str = "") -> Column:
    """A column that shows cents as an amount."""

    @admin.display(description=title or field.removesuffix("_cents").replace("_", " "), ordering=field)
    def shown(obj: Any) -> str | None:
        cents = getattr(obj, field)
        return None if cents is None else money_text(cents)

    shown.__name__ = field
    return shown


def percent(field: str, title: str = "") -> Column:
    """A column that shows basis points as a percentage."""

    @admin.display(description=title or field.removesuffix("_bps").replace("_", " "), ordering=field)
    def shown(obj: Any) -> str | None:
        basis_points = getattr(obj, field)
        return None if basis_points is None else percent_text(basis_points)

    shown.__name__ = field
    return shown


def readable(name: Any) -> Any:
    """A column of cents or basis points by its field's name as money or percent; any other as it is."""
    if isinstance(name, list | tuple):
        return type(name)(readable(part) for part in name)
    if isinstance(name, str) and name.endswith("_cents"):
        return money(name)
    return percent(name) if isinstance(name, str) and name.endswith("_bps") else name


def named(model: type[models.Model], name: Any, show: Callable[[Any], object]) -> Any:
    """A foreign key by the name of what it shows, "class" for `course`; any other column as it is."""
    if isinstance(name, list | tuple):
        return type(name)(named(model, part, show) for part in name)
    field = next((field for field in model._meta.fields if field.name == name), None)
    target = field.related_model if isinstance(field, models.ForeignKey) else None
    if not isinstance(target, type) or target._meta.model_name != name:
        return name

    @admin.display(description=str(target._meta.verbose_name), ordering=name)
    def shown(obj: Any) -> object:
        found = getattr(obj, name)
        return None if found is None else show(found)

    shown.__name__ = name
    return shown


def link(obj: models.Model, text: object = None) -> SafeString:
    """The row's page in the admin; only its text if it has none."""
    shown = text or obj
    try:
        url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    except NoReverseMatch:
        return format_html("{}", shown)
    return format_html('<a class="text-link" href="{}">{}</a>', url, shown)


def preformatted(text: str) -> SafeString:
    # Unfold's stylesheet holds only the utility classes that its own templates use.
    return format_html(
        '<pre class="text-xs" style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text
    )


def pretty(data: object) -> SafeString:
    """JSON values to read, without those whose name says that they are secret."""
    text = json.dumps(_without_secrets(data), indent=2, ensure_ascii=False)
    return preformatted(text.encode(errors="replace").decode())  # events may hold lone surrogates


def _without_secrets(data: object) -> object:
    if isinstance(data, dict):
        return {
            key: "(hidden)" if "secret" in key and value else _without_secrets(value)
            for key, value in data.items()
        }
    return [_without_secrets(value) for value in data] if isinstance(data, list) else data


# --- Panels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A read-only table below the form of a row."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]

    def table(self) -> dict[str, object]:
        rows = [["-" if cell in (None, "") else cell for cell in row] for row in self.rows]
        return {"headers": self.headers, "rows": rows}


_panels: dict[type[models.Model], list[tuple[str, Callable[[Any], Panel]]]] = defaultdict(list)


def panel(
    model: type[models.Model], *, permission: str
) -> Callable[[Callable[[Any], Panel]], Callable[[Any], Panel]]:
    """Adds a panel to the model's page, for those with the permission.

    So the page of an order shows its payments and emails without `orders` knowing of either.
    """

    def add(make: Callable[[Any], Panel]) -> Callable[[Any], Panel]:
        _panels[model].append((permission, make))
        return make

    return add


@dataclass(frozen=True)
class Button:
    """A link above the form of a row, to something that can be done with it."""

    title: str
    url: str


ButtonMaker = Callable[[HttpRequest, Any], list[Button]]
_buttons: dict[type[models.Model], list[ButtonMaker]] = defaultdict(list)


def row_buttons(model: type[models.Model]) -> Callable[[ButtonMaker], ButtonMaker]:
    """Adds buttons to the model's page, as `panel` adds a panel."""

    def add(make: ButtonMaker) -> ButtonMaker:
        _buttons[model].append(make)
        return make

    return add


ListAct = Callable[[Any, HttpRequest, models.QuerySet[Any]], HttpResponse | None]
_list_actions: dict[type[models.Model], list[tuple[str, str, ListAct]]] = defaultdict(list)


def list_action(model: type[models.Model], *, title: str, permission: str) -> Callable[[ListAct], ListAct]:
    """Adds an action to the model's list, as `panel` adds a panel to its page."""

    def add(act: ListAct) -> ListAct:
        _list_actions[model].append((permission, title, act))
        return act

    return add


def history(obj: StatefulModel, title: str = "Changes of status") -> Panel:
    """Each change of state, with who made it and why."""
    labels = dict(type(obj).status.field.choices)
    rows = [
        (
            moment(row.created_at),
            f"{labels.get(row.from_status, row.from_status)} → {labels.get(row.to_status, row.to_status)}",
            link(row.by) if row.by else "system",
            row.reason,
        )
        for row in obj.transitions.select_related("by")
    ]
    return Panel(title, ["When", "Change", "Who", "Why"], rows)


# --- Admins -------------------------------------------------------------------------------------------------


class ModelAdmin(UnfoldModelAdmin):
    """With buttons above and panels below a row's form, and lists that count no rows and answer to no filter
    but their own."""

    show_full_result_count = False
    list_per_page = 50
    list_defer: ClassVar[Sequence[str]] = ()  # large columns that the list does not show
    change_form_outer_before_template = "admin/_row_action.html"
    change_form_outer_after_template = "admin/_panels.html"
    object_history_template = "admin/edits.html"
    formfield_overrides = CLOCK_FIELDS

    def search_note(self, obj: Any) -> str:
        """What tells this row from its namesakes among the results of the search box."""
        return ""

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        page = request.resolver_match and request.resolver_match.url_name
        return rows.defer(*self.list_defer) if page and page.endswith("_changelist") else rows

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The edits by hand, with a way back to the row."""
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
        """A page that only shows has money and percentages; the form of a new row only what is typed."""
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
        """PostgreSQL takes no NUL, and the boxes that complete a name pass on whatever was sent."""
        found: tuple[Any, bool] = super().get_search_results(request, queryset, search_term.replace("\0", ""))
        return found

    def get_actions(self, request: HttpRequest) -> dict[Any, Any]:
        actions: dict[Any, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)  # rows are deleted one by one, on their pages
        for permission, title, act in _list_actions[self.model]:
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
            makers = _panels[self.model]
            context["panels"] = [
                make(obj) for permission, make in makers if request.user.has_perm(permission)
            ]
            context["buttons"] = [button for make in _buttons[self.model] for button in make(request, obj)]
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
    """For facts, money and states: what happened stays as it was written."""

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


class StaffTaskState(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("open", "open"), ("closed", "closed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"open", "closed"}:
            return queryset.filter(closed_at__isnull=self.value() == "open")
        return queryset


@admin.register(StaffTask)
class StaffTaskAdmin(ReadOnlyAdmin):
    actions = ["close"]
    list_display = ["kind", "about", "opened_at", "state", "closing"]
    list_filter = [StaffTaskState, "kind"]
    list_select_related = ["closed_by"]
    search_fields = ["subject", "detail"]
    search_help_text = "Search in what it is about and in the detail."
    ordering = ["-pk"]
    fields = ["kind", "about", "detail", "opened_at", "state", "closed_at", "closed_by", "closed_because"]
    readonly_fields = ["about", "state"]

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("csf.change_stafftask")

    def row_action(self, request: HttpRequest, obj: StaffTask) -> str | None:
        return None if obj.closed_at else "close"

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        words = subjects_in_words(changelist.result_list)
        for task in changelist.result_list:
            task.subject_in_words = words[task.pk]
        return changelist

    @admin.display(description="about")
    def about(self, task: StaffTask) -> SafeString:
        text = getattr(task, "subject_in_words", "") or subjects_in_words([task])[task.pk]
        label, key, filters = task.subject_parts
        page = f"admin:{label.replace('.', '_')}"
        try:
            url = (
                f"{reverse(f'{page}_changelist')}?{filters}"
                if filters
                else reverse(f"{page}_change", args=[key])
            )
        except NoReverseMatch:
            return format_html("{}", text)
        return format_html('<a class="text-link" href="{}">{}</a>', url, text)

    @admin.display(description="state", ordering="closed_at")
    def state(self, task: StaffTask) -> SafeString:
        return badge("placed", "closed") if task.closed_at else badge("needs_card", "open")

    @admin.display(description="closed", ordering="closed_at")
    def closing(self, task: StaffTask) -> str | None:
        if not task.closed_at:
            return None
        return f"{moment(task.closed_at)}, {task.closed_because or task.closed_by}"

    @admin.action(description="Mark as decided", permissions=["close"])
    def close(self, request: HttpRequest, queryset: Any) -> None:
        closed = queryset.close(by=request.user)
        messages.success(request, f"Tasks closed: {closed}.")


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ["on", "job", state(), "summary_line", "started_at", "finished_at", "covered_by"]
    list_filter = ["job", "status"]
    list_select_related = ["covered_by"]
    search_fields = ["job"]
    date_hierarchy = "on"
    ordering = ["-on", "job"]


@admin.register(ProofRun)
class ProofRunAdmin(ReadOnlyAdmin):
    list_display = ["began_at", "mode", "finished_at", "looked_at", "found"]
    list_filter = ["mode"]
    fields = ["mode", "since", "began_at", "finished_at", "looked_at", "found"]

    @admin.display(description="does not hold")
    def found(self, run: ProofRun) -> SafeString:
        return preformatted("\n".join(run.lines) or "-")


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = fields = ["id", "created_at", "quarantined_at", "released_at", "predecessor_until"]


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin):
    list_display = ["name", "started_at", "seen_at", "canary_at", "stopped_at", "clock_ahead_s"]
    fields = ["name", "host", "pid", "started_at", "seen_at", "canary_at", "stopped_at", "clock_ahead_s"]
    ordering = ["name"]


# --- The queue ----------------------------------------------------------------------------------------------


@admin.register(Schedule)
class ScheduleAdmin(ModelAdmin):
    """Only an earlier next run can be set: a later one is put back to the job's next time, `sync_schedules`
    restores the rest, and the page System pauses with a reason."""

    list_display = ["name", "func", "cron", "next_run", "repeats"]
    search_fields = ["name", "func"]
    ordering = ["name"]
    fields = ["name", "func", "args", "cron", "repeats", "next_run"]
    readonly_fields = ["name", "func", "args", "cron", "repeats"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        return False


@admin.register(OrmQ)
class QueuedTaskAdmin(ReadOnlyAdmin):
    list_display = ["id", "func", "args", "key", "lock"]
    list_filter = ["key"]
    ordering = ["id"]
    fields = ["key", "lock", "task_id", "name", "func", "args", "kwargs", "q_options"]


@admin.register(Success, Failure)
class FinishedTaskAdmin(ReadOnlyAdmin):
    list_display = ["name", "func", "started", "stopped", "attempt_count"]
    list_filter = ["started"]
    search_fields = ["name", "func"]
    search_help_text = "Search by the task's name or function."
    fields = ["name", "func", "args", "kwargs", "started", "stopped", "attempt_count", "outcome"]

    @admin.display(description="result")
    def outcome(self, task: Success | Failure) -> SafeString:
        return preformatted(str(task.result))
