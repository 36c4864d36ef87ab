"""What staff see and do about a waitlist: its panel at the class, and the two actions on a place in line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from csf import clock
from csf.staff.columns import badge, link
from csf.staff.panels import Button, Panel, panel, row_buttons
from csf.state import Stale
from csf.templatetags.csf_format import moment
from enrollments.classes.waitlist import Demand, NoSeat, leave, offer_out_of_order
from enrollments.families.who_is_notified import who_is_notified
from enrollments.models import Course, Enrollment, EnrollmentStatus, User
from enrollments.models.seats import WAITING

PERMISSION = "enrollments.change_enrollment"


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Stays in the history for other staff.",
        error_messages={"required": "Give a reason: it stays in the history."},
    )


class OfferForm(ReasonForm):
    add_seat = forms.BooleanField(
        label="Add a place to the class if none is free", required=False, widget=UnfoldBooleanSwitchWidget
    )


def _offer(place: Enrollment, by: User, typed: dict[str, Any]) -> None:
    offer_out_of_order(place, by=by, now=clock.now(), **typed)


def _take_off(place: Enrollment, by: User, typed: dict[str, Any]) -> None:
    leave(place, by=by, now=clock.now(), **typed)


@dataclass(frozen=True)
class Action:
    name: str
    title: str
    meaning: str
    done: str
    form: type[ReasonForm]
    possible_for: list[EnrollmentStatus]
    act: Callable[[Enrollment, User, dict[str, Any]], None]


ACTIONS = [
    Action(
        "offer",
        "Offer a place out of turn",
        "This family gets the next place ahead of everyone in line: by email, or right away with its "
        "saved card if it has priority.",
        "The place has been offered.",
        OfferForm,
        [EnrollmentStatus.WAITLISTED],
        _offer,
    ),
    Action(
        "take-off",
        "Take off the waitlist",
        "The family loses its position in line, or the place it was offered. It can join again at the "
        "end of the line.",
        "The family was taken off the waitlist.",
        ReasonForm,
        WAITING,
        _take_off,
    ),
]


@row_buttons(Enrollment)
def waitlist_buttons(request: HttpRequest, place: Enrollment) -> list[Button]:
    """One for each action that is possible."""
    if not request.user.has_perm(PERMISSION):
        return []
    possible = [action for action in ACTIONS if place.status in action.possible_for]
    return [Button(action.title, _address(place, action)) for action in possible]


def _address(place: Enrollment, action: Action) -> str:
    return reverse("admin:enrollments_enrollment_waitlist", args=[place.pk, action.name])


class WaitlistActions:
    """For the admin of enrollments."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        act = self.admin_site.admin_view(self.act)
        own = path("<int:pk>/waitlist/<slug:name>/", act, name="enrollments_enrollment_waitlist")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def act(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """The form of one action, and what it does."""
        action = next((action for action in ACTIONS if action.name == name), None)
        place = get_object_or_404(Enrollment.objects.select_related("course", "child__household"), pk=pk)
        if action is None:
            raise Http404
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        if place.status not in action.possible_for:
            messages.error(request, f"{action.title}: not possible for this place now.")
            return redirect("admin:enrollments_enrollment_change", pk)
        form = action.form(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                action.act(place, request.user, form.cleaned_data)  # type: ignore[arg-type]
            except NoSeat as refusal:
                form.add_error(None, refusal.message)
            except Stale:
                form.add_error(
                    None, "The place has changed since you opened this page. Please check it again."
                )
            else:
                messages.success(request, f"{action.done} {who_is_notified(place.child.household)}")
                return redirect("admin:enrollments_course_change", place.course_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": place,
            "title": action.title,
            "action": action,
            "notified": who_is_notified(place.child.household),
            "form": form,
        }
        return TemplateResponse(request, "admin/enrollments/waitlist_action.html", context)


@panel(Course, permission="enrollments.view_enrollment")
def course_waitlist(course: Course) -> Panel:
    demand = Demand.of(course)
    places = course.enrollments.filter(status__in=WAITING).with_position().select_related("child__household")
    rows = sorted(places, key=lambda row: (row.status == EnrollmentStatus.WAITLISTED, row.position))
    return Panel(
        f"Waitlist: {demand}",
        ["In line", "Child", "Family", "Tier", "Since", "Status", "Offered until", ""],
        [
            (
                row.position if row.status == EnrollmentStatus.WAITLISTED else "",
                link(row, row.child),
                link(row.child.household),
                row.tier,
                row.joined_at and moment(row.joined_at),
                badge(row.status, row.get_status_display()),
                row.expires_at and moment(row.expires_at),
                link(row, "Offer or take off"),
            )
            for row in rows
        ],
    )
