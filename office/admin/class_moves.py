"""What staff see when a class gets another place or time: the question before it is saved, and the list of
changes."""

import datetime
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import linebreaksbr
from django.template.response import TemplateResponse
from django.utils.html import format_html

from csf import clock
from csf.staff.actions import CHANGED, confirm_page
from csf.staff.columns import link
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.staff.reason_form import ReasonForm, reason_field
from csf.templatetags.csf_format import moment
from enrollments.classes.changes import NotConfirmed, ScheduleChange, change_course, differences
from enrollments.classes.dates import DateChoice, DateQuestion, DatesNotChosen
from enrollments.classes.waitlist import NoSeat
from enrollments.families.who_is_notified import not_notified
from enrollments.models import Course, CourseChange, Household

OWN = ("csrfmiddlewaretoken", "reason", "fingerprint", "press")  # of the question, not of the class
DATES = "dates-"  # begins the fields that the question about its sessions adds


class ScheduleChangeForm(ReasonForm):
    reason = reason_field(
        label="Why",
        max_length=300,
        help_text="The families see it in their email. For example: The pool is being repaired until June.",
        error_messages={"required": "Give a reason: the families will see it."},
    )


class CourseChanges:
    """For the admin of classes: an edit that changes place or times is saved only after a person has
    confirmed it."""

    admin_site: Any
    opts: Any

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            page: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)  # type: ignore[misc]
        except NotConfirmed as asked:
            return self._ask(request, asked.course, asked.change)
        except DatesNotChosen as asked:
            return self._ask_dates(request, asked.course, asked.question)
        except NoSeat as refused:
            messages.error(request, f"Nothing was saved. {refused.message}")
            return redirect(request.path)
        return page

    def save_model(self, request: HttpRequest, obj: Course, form: Any, change: bool) -> None:
        """A class that exists is saved together with its sessions, by `save_related`."""
        if not change:
            super().save_model(request, obj, form, change)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if not change:
            super().save_related(request, form, formsets, change)  # type: ignore[misc]
            return

        def save() -> None:
            super(CourseChanges, self).save_model(request, form.instance, form, change)  # type: ignore[misc]
            super(CourseChanges, self).save_related(request, form, formsets, change)  # type: ignore[misc]

        asked = ScheduleChangeForm(request.POST)
        change_course(
            course=form.instance,
            edit=save,
            by=request.user,  # type: ignore[arg-type]
            reason=asked.cleaned_data["reason"] if asked.is_valid() else "",
            fingerprint=request.POST.get("fingerprint", ""),
            now=clock.now(),
            choice=_choice(request),
        )

    def _ask_dates(self, request: HttpRequest, course: Course, question: DateQuestion) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Which sessions of {course}?",
            "question": question,
            "typed": _typed(request, without=(*OWN, DATES)),
            "is_none_chosen": question.missing and f"{DATES}asked" in request.POST,
        }
        return TemplateResponse(request, "admin/enrollments/course_dates.html", context)

    def _ask(self, request: HttpRequest, course: Course, change: ScheduleChange) -> HttpResponse:
        """Everything that was typed is sent again, hidden, together with the answer."""
        fingerprint = request.POST.get("fingerprint")
        form = ScheduleChangeForm(request.POST if fingerprint else None)
        if fingerprint and fingerprint != change.fingerprint:
            form.add_error(None, CHANGED)
        families = "1 family" if change.families == 1 else f"{change.families} families"
        return confirm_page(
            request,
            course,
            title="Tell the families?",
            meaning=f"{families} will be told about the change by email, with a corrected calendar file. "
            "Nothing is saved yet.",
            facts=ChangeFacts(change),
            form=form,
            typed=_typed(request, without=OWN),
            confirm=f"Save, and tell {families}",
            back=request.path,
        )


@dataclass(frozen=True)
class ChangeFacts:
    change: ScheduleChange

    @property
    def fingerprint(self) -> str:
        return self.change.fingerprint

    def panel(self) -> Panel:
        lines: list[tuple[str, object]] = [
            (title, format_html("<s>{}</s>\n<b>{}</b>", linebreaksbr(before), linebreaksbr(after)))
            for title, before, after in self.change.differences
        ]
        if families := not_notified(Household.objects.filter(pk__in=self.change.household_ids)):
            lines.append(("Not notified", "\n".join(families)))
        return Panel("", lines=lines)


def _choice(request: HttpRequest) -> DateChoice:
    """What was ticked on the page of the dates."""
    added = [parsed for text in request.POST.getlist(f"{DATES}add") if (parsed := _date(text))]
    deleted = request.POST.getlist(f"{DATES}delete")
    return DateChoice(added, frozenset(int(key) for key in deleted if key.isdecimal()))


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _typed(request: HttpRequest, *, without: tuple[str, ...]) -> list[tuple[str, Any]]:
    """All posted fields, to be sent again as hidden ones, except those of one question."""
    return [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if not name.startswith(without)
    ]


@admin.register(CourseChange)
class CourseChangeAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "course", "what", "reason", "by"]
    list_select_related = ["course", "by"]
    search_fields = ["course__title", "reason"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = ["course", "created_at", "by", "reason", "before", "after"]

    @admin.display(description="what")
    def what(self, change: CourseChange) -> str:
        return ", ".join(title for title, _, _ in differences(change.before, change.after))


@panel(Course, permission="enrollments.view_coursechange")
def course_changes(course: Course) -> Panel:
    return Panel(
        "Changes that families were emailed about",
        ["When", "What", "Before", "After", "Why", "Who"],
        [
            (
                moment(change.created_at),
                link(change, title),
                linebreaksbr(before),
                linebreaksbr(after),
                change.reason,
                link(change.by),
            )
            for change in course.changes.select_related("by").order_by("-pk")
            for title, before, after in differences(change.before, change.after)
        ],
    )
