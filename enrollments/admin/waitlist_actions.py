"""What staff see and do about a waitlist: its panel on the class's page, and the two actions on a place in
line."""

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldBooleanSwitchWidget

from csf import clock
from csf.staff.actions import Action, Actions
from csf.staff.columns import badge, link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel, panel
from csf.staff.reason_form import ReasonForm
from csf.templatetags.csf_format import moment
from enrollments.classes.waitlist import Demand, leave, offer_out_of_order
from enrollments.families.who_is_notified import ANY_EMAIL, who_is_notified
from enrollments.models import Course, Enrollment, EnrollmentStatus
from enrollments.models.seats import WAITING


class OfferForm(ReasonForm):
    add_seat = forms.BooleanField(
        label="Add a place to the class if none is free", required=False, widget=UnfoldBooleanSwitchWidget
    )


@dataclass(frozen=True)
class Place:
    """A place in line, or one that is offered."""

    row: Enrollment
    words: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, pk: int) -> "Place":
        return cls(get_object_or_404(Enrollment.objects.select_related("course", "child__household"), pk=pk))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.status, self.row.expires_at)

    def panel(self) -> Panel:
        row = self.row
        facts = [link(row.child), link(row.child.household), link(row.course)]
        return Panel("", ["Child", "Family", "Class", "Status"], [[*facts, _state(row)]])


def _state(place: Enrollment) -> SafeString:
    return badge(place.status, place.get_status_display())


def _offer(*, place: Enrollment, **how: Any) -> None:
    offer_out_of_order(place, now=clock.now(), **how)


def _take_off(*, place: Enrollment, **how: Any) -> None:
    leave(place, now=clock.now(), **how)


def _action(**options: Any) -> Action:
    return Action(
        argument="place",
        permission="enrollments.change_enrollment",
        confirm=options["title"],
        lands_on=lambda facts: facts.row.course,
        **options,
    )


WAITLIST_ACTIONS = Actions(
    Enrollment,
    Place.of,
    [
        _action(
            name="offer",
            title="Offer a place out of turn",
            meaning="This family gets the next place ahead of everyone in line: by email, or right away "
            "with its saved card if it has priority.",
            done="The place has been offered.",
            email=ANY_EMAIL,
            form=OfferForm,
            is_possible=lambda facts: facts.row.status == EnrollmentStatus.WAITLISTED,
            act=_offer,
        ),
        _action(
            name="take-off",
            title="Take off the waitlist",
            meaning="The family loses its position in line, or the place it was offered. It can join again "
            "at the end of the line.",
            done="The family was taken off the waitlist.",
            email=ANY_EMAIL,
            is_possible=lambda facts: facts.row.status in WAITING,
            act=_take_off,
        ),
    ],
    notified=lambda place, email: who_is_notified(place.child.household, email=email),
    slug="waitlist",
)


@panel(Course, permission="enrollments.view_enrollment")
def course_waitlist(course: Course) -> Panel:
    demand = Demand.for_course(course)
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
                _state(row),
                row.expires_at and moment(row.expires_at),
                link(row, "Offer or take off"),
            )
            for row in rows
        ],
    )
