"""Cancelling a whole class or one session: what is chosen, what it would bring, and the one confirmation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget

from billing.changes.cancellation import OutcomeChanged
from billing.changes.class_closure import Preview, close_class, close_session, preview_class, preview_session
from billing.models import Closure, Terms
from csf import clock
from csf.money import money_text
from csf.refusal import NotPossible
from csf.staff.actions import CHANGED, Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Button, Panel, row_buttons
from csf.staff.reason_form import ChoiceForm, ReasonForm, reason_field
from csf.templatetags.csf_format import day, time_of_day
from enrollments.families.who_is_notified import not_notified
from enrollments.models import Course, CourseSession, Enrollment

MAY_CLOSE = "billing.add_closure"
SHARE = "this session's share of the price, as credit"
TOTALS = ("No longer charged", "Refunds, once approved", "Credit")


@dataclass(frozen=True)
class CourseFacts:
    """A class before anything is chosen."""

    row: Course

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Course, pk=pk))

    @property
    def can_be_cancelled(self) -> bool:
        return not (self.row.cancelled_at or self.row.has_ended(clock.today()))

    @property
    def sessions(self) -> QuerySet[CourseSession]:
        """Those that can be cancelled."""
        now = clock.now()
        ahead = [row.pk for row in self.row.sessions.filter(cancelled_at=None) if row.starts_at > now]
        return self.row.sessions.filter(pk__in=ahead)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.cancelled_at)

    @property
    def words(self) -> dict[str, Any]:
        return {}

    def panel(self) -> Panel:
        return Panel("", lines=[("Class", link(self.row))])


@dataclass(frozen=True)
class ClosureFacts:
    """What cancelling would bring each family."""

    row: Course
    families_get: str
    chosen: dict[str, Any]
    preview: Preview

    @property
    def fingerprint(self) -> str:
        return self.preview.fingerprint

    @property
    def words(self) -> dict[str, Any]:
        count = len(self.preview.effects)
        return {"children": "1 child" if count == 1 else f"{count} children"}

    def panel(self) -> Panel:
        headers = ["Child", "Family", "Not charged", "Refund", "Credit", "Note"]
        rows = [
            (
                link(effect.enrollment, effect.enrollment.child),
                link(effect.enrollment.child.household),
                *(money_text(cents) if cents else "" for cents in effect.figures),
                "a payment is in progress: settled after it" if effect.is_charging else "",
            )
            for effect in self.preview.effects
        ]
        return Panel("", headers, rows, lines=[line for line in self._lines() if line[1]])

    def _lines(self) -> list[tuple[str, object]]:
        preview = self.preview
        concerned = [*(effect.enrollment for effect in preview.effects), *preview.waiting]
        waiting = f"{_children(preview.waiting)}: told by email; nothing was paid"
        held = f"{_children(preview.held)}: if the money arrives, it is refunded in full"
        return [
            ("Class", link(self.row)),
            ("Families get", self.families_get),
            ("Enrolled", self.words["children"]),
            *((title, money_text(cents)) for title, cents in zip(TOTALS, preview.totals, strict=True)),
            ("On the waitlist", preview.waiting and waiting),
            ("Being paid right now", preview.held and held),
            ("Not notified", "\n".join(not_notified(place.child.household for place in concerned))),
        ]


def _children(places: Sequence[Enrollment]) -> str:
    return ", ".join(str(place.child) for place in places)


class TermsChoice(ChoiceForm):
    button = "See what each family gets"
    terms = forms.TypedChoiceField(
        label="Each family gets",
        coerce=Terms,
        choices=[(terms.value, terms.label.capitalize()) for terms in Terms],
        initial=Terms.REFUND,
        widget=UnfoldAdminRadioSelectWidget,
    )

    def chosen(self) -> ClosureFacts:
        course, terms = self.facts.row, self.cleaned_data["terms"]
        preview = preview_class(course=course, terms=terms, now=clock.now())
        return ClosureFacts(course, Terms(terms).label, {"terms": terms}, preview)


class SessionField(forms.ModelChoiceField):  # type: ignore[type-arg] # not generic at run time
    def label_from_instance(self, obj: CourseSession) -> str:
        return f"{day(obj.held_on)}, {time_of_day(obj.start_time)}"


class SessionChoice(ChoiceForm):
    button = "See what each family gets"
    session = SessionField(queryset=CourseSession.objects.none(), widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, facts: CourseFacts, **options: Any) -> None:
        super().__init__(*args, facts=facts, **options)
        self.fields["session"].queryset = facts.sessions  # type: ignore[attr-defined]

    def chosen(self) -> ClosureFacts:
        session: CourseSession = self.cleaned_data["session"]
        families_get = f"{SHARE} (the session of {day(session.held_on)})"
        preview = preview_session(session=session)
        return ClosureFacts(self.facts.row, families_get, {"session": session}, preview)


class FamilyReasonForm(ReasonForm):
    reason = reason_field(
        help_text="The families see it in their email. For example: The coach is ill.",
        error_messages={"required": "Give a reason: the families will see it."},
    )

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), **self.facts.chosen, "fingerprint": self.facts.fingerprint}


def _close_class(**how: Any) -> None:
    try:
        close_class(now=clock.now(), **how)
    except OutcomeChanged as changed:
        raise NotPossible(CHANGED) from changed


def _close_session(*, course: Course, **how: Any) -> None:
    try:
        close_session(now=clock.now(), **how)
    except OutcomeChanged as changed:
        raise NotPossible(CHANGED) from changed


def _latest(facts: ClosureFacts) -> Closure:
    return facts.row.closures.latest("pk")


def _action(**options: Any) -> Action:
    return Action(argument="course", permission=MAY_CLOSE, form=FamilyReasonForm, lands_on=_latest, **options)


CLOSING_ACTIONS = Actions(
    Course,
    CourseFacts.of,
    [
        _action(
            name="class",
            title="Cancel this class",
            act=_close_class,
            choice=TermsChoice,
            is_possible=lambda facts: facts.can_be_cancelled,
            confirm="Cancel this class for {children}",
            meaning="Registration ends, and every family is told by email and gets what you choose.",
            done="The class is cancelled. This page shows what each family gets.",
        ),
        _action(
            name="session",
            title="Cancel one session",
            act=_close_session,
            choice=SessionChoice,
            is_possible=lambda facts: facts.can_be_cancelled and facts.sessions.exists(),
            confirm="Cancel this session for {children}",
            meaning="Every family is told by email and gets this session's share of its price as credit.",
            done="The session is cancelled. This page shows what each family gets.",
        ),
    ],
    slug="closing",
)


@row_buttons(CourseSession)
def session_buttons(request: HttpRequest, session: CourseSession) -> list[Button]:
    may = request.user.has_perm(MAY_CLOSE) and session.cancelled_at is None
    if not may or session.course.cancelled_at or session.starts_at <= clock.now():
        return []
    page = CLOSING_ACTIONS.address(session.course, "session")
    return [Button("Cancel this session", f"{page}?session={session.pk}")]
