"""The admins of the operational tables and of the queue."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from csf.models import Cluster, Instance, JobRun, ProofRun, StaffTask
from csf.staff.columns import label, preformatted, state
from csf.staff.model_admin import ModelAdmin, ReadOnlyAdmin
from csf.staff.tasks import subjects_in_words
from csf.templatetags.csf_format import moment


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
    search_help_text = "Search by subject or detail."
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
        return label("info", "closed") if task.closed_at else label("warning", "open")

    @admin.display(description="closed", ordering="closed_at")
    def closing(self, task: StaffTask) -> str | None:
        if not task.closed_at:
            return None
        return f"{moment(task.closed_at)}, {task.closed_because or task.closed_by}"

    @admin.action(description="Close selected tasks", permissions=["close"])
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
    list_display = fields = ["id", "created_at", "quarantined_at", "lifted_at", "predecessor_until"]


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
