"""Cancelling a whole class or one session: the preview, the confirmation, and the progress."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from billing.admin.closing_forms import ClassForm, FamilyReasonForm, SessionForm, sessions_to_cancel
from billing.changes.cancellation import OutcomeChanged
from billing.changes.class_closure import (
    Preview,
    close_class,
    close_session,
    preview_class,
    preview_session,
    result_of,
    try_again,
)
from billing.models import (
    Closure,
    ClosureLine,
    ClosureLineStatus,
    ClosureLineTransition,
    ClosureStatus,
    Terms,
)
from csf import clock
from csf.money import money_text
from csf.refusal import NotPossible
from csf.staff.columns import badge, link, state
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Button, Panel, history, panel, row_buttons
from csf.state import Stale
from csf.templatetags.csf_format import day, moment
from enrollments.families.who_is_notified import not_notified
from enrollments.models import Course, CourseSession

MAY_CLOSE = "billing.add_closure"
RELOAD_S = 4
SHARE = "this session's share of the price, as credit"


def _class_preview(course: Course, typed: dict[str, Any]) -> Preview:
    return preview_class(course=course, terms=Terms(typed["terms"]), now=clock.now())


def _close_class(course: Course, typed: dict[str, Any], **options: Any) -> Closure:
    return close_class(course=course, terms=Terms(typed["terms"]), **options)


def _session_preview(course: Course, typed: dict[str, Any]) -> Preview:
    return preview_session(session=typed["session"])


def _close_session(course: Course, typed: dict[str, Any], **options: Any) -> Closure:
    return close_session(session=typed["session"], **options)


@dataclass(frozen=True)
class Act:
    name: str
    title: str
    meaning: str
    form: Callable[..., FamilyReasonForm]
    preview: Callable[[Course, dict[str, Any]], Preview]
    close: Callable[..., Closure]


ACTS = {
    act.name: act
    for act in [
        Act(
            "class",
            "Cancel this class",
            "Registration ends, and every family is told by email and gets back what you choose here. "
            "Nothing happens until you have seen the figures.",
            ClassForm,
            _class_preview,
            _close_class,
        ),
        Act(
            "session",
            "Cancel one session",
            "Every family is told by email and gets this session's share of its price as credit. Nothing "
            "happens until you have seen the figures.",
            SessionForm,
            _session_preview,
            _close_session,
        ),
    ]
}


@row_buttons(Course)
def course_buttons(request: HttpRequest, course: Course) -> list[Button]:
    if not request.user.has_perm(MAY_CLOSE):
        return []
    if course.cancelled_at or course.has_ended(clock.today()):
        return []
    possible = [ACTS["class"], *([ACTS["session"]] if sessions_to_cancel(course).exists() else [])]
    return [Button(act.title, _address(act, course)) for act in possible]


@row_buttons(CourseSession)
def session_buttons(request: HttpRequest, session: CourseSession) -> list[Button]:
    may = request.user.has_perm(MAY_CLOSE) and session.cancelled_at is None
    if not may or session.course.cancelled_at or session.starts_at <= clock.now():
        return []
    return [
        Button("Cancel this session", f"{_address(ACTS['session'], session.course)}?session={session.pk}")
    ]


def _address(act: Act, course: Course) -> str:
    return reverse("admin:billing_closure_begin", args=[course.pk, act.name])


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
        own = [
            path("of/<int:pk>/<slug:name>/", self.begin, name="billing_closure_begin"),
            path("<int:pk>/again/", self.again, name="billing_closure_again"),
        ]
        for route in own:
            route.callback = self.admin_site.admin_view(route.callback)
        return [*own, *super().get_urls()]

    def begin(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """First the question, then the preview, then the action."""
        act = ACTS.get(name)
        course = get_object_or_404(Course, pk=pk)
        if act is None:
            raise Http404
        if not request.user.has_perm(MAY_CLOSE):
            raise PermissionDenied
        if course.cancelled_at:
            messages.error(request, "This class is already cancelled.")
            return redirect("admin:enrollments_course_change", pk)
        sent = request.POST if request.method == "POST" else None
        form = act.form(sent, course=course, initial=request.GET.dict())
        why_not = ""
        if sent and "change" not in sent and form.is_valid():
            if "fingerprint" in sent:
                closure, why_not = _close(act, course, form, request)
                if closure:
                    return redirect("admin:billing_closure_change", closure.pk)
            preview = act.preview(course, form.cleaned_data)
            return self._page(request, course, act, form, why_not=why_not, preview=preview)
        return self._page(request, course, act, form)

    def _page(
        self, request: HttpRequest, course: Course, act: Act, form: FamilyReasonForm, **more: Any
    ) -> HttpResponse:
        preview: Preview | None = more.get("preview")
        context = {
            **self.admin_site.each_context(request),
            **more,
            "opts": self.opts,
            "title": act.title,
            "act": act,
            "course": course,
            "form": form,
            "chosen": _chosen(form) if preview else "",
            "panel": preview and _effects(preview),
            "totals": preview and _totals(preview),
            "not_notified": preview and _not_notified(preview),
        }
        return TemplateResponse(request, "admin/billing/closure_begin.html", context)

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


def _close(
    act: Act, course: Course, form: FamilyReasonForm, request: HttpRequest
) -> tuple[Closure | None, str]:
    """What was started, or why not."""
    typed = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
    options = {"by": request.user, "reason": form.cleaned_data["reason"], "now": clock.now()}
    try:
        return act.close(course, typed, fingerprint=request.POST["fingerprint"], **options), ""
    except OutcomeChanged:
        return None, "Families or amounts have changed since you saw them. Please check the new figures."
    except NotPossible as refusal:
        return None, refusal.message


def _chosen(form: FamilyReasonForm) -> str:
    if terms := form.cleaned_data.get("terms"):
        return Terms(terms).label
    session: CourseSession = form.cleaned_data["session"]
    return f"{SHARE} (the session of {day(session.held_on)})"


def _totals(preview: Preview) -> list[tuple[str, str]]:
    titles = ["No longer charged", "Refunds, once approved", "Credit"]
    return [(title, money_text(cents)) for title, cents in zip(titles, preview.totals, strict=True)]


def _not_notified(preview: Preview) -> list[str]:
    places = [*(effect.enrollment for effect in preview.effects), *preview.waiting]
    return not_notified(place.child.household for place in places)


def _effects(preview: Preview) -> Panel:
    return Panel(
        "",
        ["Child", "Family", "Not charged", "Refund", "Credit", "Note"],
        [
            (
                link(effect.enrollment, effect.enrollment.child),
                link(effect.enrollment.child.household),
                *(money_text(cents) if cents else "" for cents in effect.figures),
                "a payment is in progress: settled after it" if effect.is_charging else "",
            )
            for effect in preview.effects
        ],
    )


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
