"""Classes and sessions that were cancelled: how far the work is, and what each family got."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from billing.admin.closing_actions import MAY_CLOSE, SHARE
from billing.changes.class_closure import (
    result_of,
    try_again,
)
from billing.models import (
    Closure,
    ClosureLine,
    ClosureLineStatus,
    ClosureLineTransition,
    ClosureStatus,
)
from csf.staff.columns import badge, link, state
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Button, Panel, history, panel, row_buttons
from csf.state import Stale
from csf.templatetags.csf_format import day, moment
from enrollments.models import Course

RELOAD_S = 4


@admin.register(Closure)
class ClosureAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "course", "session", state(), "progress", "terms", "by", "finished_at"]
    list_filter = ["status", "terms"]
    list_select_related = ["course", "session__course", "by"]
    search_fields = ["course__title", "reason"]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> Any:
        done = Count("lines", filter=Q(lines__status=ClosureLineStatus.DONE))
        return super().get_queryset(request).annotate(done=done, families=Count("lines"))

    @admin.display(description="places done")
    def progress(self, closure: Any) -> str:
        return f"{closure.done} of {closure.families}"

    def get_urls(self) -> list[Any]:
        again = self.admin_site.admin_view(self.again)
        own = path("<int:pk>/again/", again, name="billing_closure_again")
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The progress, and what each family got."""
        closure = self.get_object(request, object_id)
        if closure is None:
            raise Http404
        if not self.has_view_permission(request, closure):
            raise PermissionDenied
        lines = list(
            closure.lines.select_related(
                "enrollment__child__household", "enrollment__course", "enrollment__cancellation"
            )
        )
        count = [line.status for line in lines].count
        is_running = closure.status == ClosureStatus.RUNNING
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(closure),
            "closure": closure,
            "rows": [(line, _result(line, closure)) for line in lines],
            "families_get": SHARE if closure.session else closure.get_terms_display(),
            "done": count(ClosureLineStatus.DONE),
            "failed": count(ClosureLineStatus.FAILED),
            "may_try_again": request.user.has_perm(MAY_CLOSE),
            "reload_s": RELOAD_S if is_running else None,
        }
        return TemplateResponse(request, "admin/billing/closure.html", context)

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return one failed family, or all of them, to the worker."""
        if request.method != "POST" or not request.user.has_perm(MAY_CLOSE):
            raise PermissionDenied
        failed = get_object_or_404(Closure, pk=pk).lines.filter(status=ClosureLineStatus.FAILED)
        if wanted := request.POST.get("line"):
            failed = failed.filter(pk=wanted) if wanted.isdecimal() else failed.none()
        for line in failed:
            try:
                try_again(line, by=request.user)  # type: ignore[arg-type]
            except Stale:
                continue  # another person was first
        return redirect("admin:billing_closure_change", pk)


def _result(line: ClosureLine, closure: Closure) -> str:
    """The result so far: a payment that it waited for may have ended."""
    cancellation = getattr(line.enrollment, "cancellation", None)
    if line.status == ClosureLineStatus.DONE and cancellation and cancellation.closure_id == closure.pk:
        return result_of(cancellation)
    return line.result


@admin.register(ClosureLine)
class ClosureLineAdmin(ReadOnlyAdmin):
    list_display = ["closure", "enrollment", state(), "result", "tries", "finished_at"]
    list_filter = ["status"]
    list_select_related = [
        "closure__course",
        "closure__session__course",
        "enrollment__child",
        "enrollment__course",
    ]
    search_fields = ["closure__course__title", "enrollment__child__last_name", "result"]
    ordering = ["-pk"]


@row_buttons(ClosureLine)
def line_buttons(request: HttpRequest, line: ClosureLine) -> list[Button]:
    """Where it can be tried again: a staff task links to the line."""
    if line.status != ClosureLineStatus.FAILED or not request.user.has_perm(MAY_CLOSE):
        return []
    return [Button("Try again", reverse("admin:billing_closure_change", args=[line.closure_id]))]


@admin.register(ClosureLineTransition)
class ClosureLineTransitionAdmin(TransitionAdmin):
    parent = "closureline"
    list_select_related = ["closureline__enrollment__child", "closureline__enrollment__course", "by"]
    search_fields = ["closureline__closure__course__title", "reason"]


@panel(ClosureLine, permission="billing.view_closurelinetransition")
def line_history(line: ClosureLine) -> Panel:
    return history(line)


@panel(Course, permission="billing.view_closure")
def course_closures(course: Course) -> Panel:
    rows = course.closures.select_related("session", "course", "by")
    return Panel(
        "Cancellations",
        ["Decided", "What", "Families get", "Why", "Who", "Status"],
        [
            (
                moment(row.created_at),
                link(row, day(row.session.held_on) if row.session else "the whole class"),
                SHARE if row.session else row.get_terms_display(),
                row.reason,
                link(row.by),
                badge(row.status, row.get_status_display()),
            )
            for row in rows
        ],
    )
