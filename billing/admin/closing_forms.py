"""What staff type to cancel a class or one of its sessions."""

from django import forms
from django.db.models import QuerySet
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget

from billing.models import Terms
from csf import clock
from csf.staff.reason_form import ReasonForm, reason_field
from csf.templatetags.csf_format import day, time_of_day
from enrollments.models import Course, CourseSession


class FamilyReasonForm(ReasonForm):
    reason = reason_field(
        help_text="The families see it in their email. For example: The coach is ill.",
        error_messages={"required": "Give a reason: the families will see it."},
    )


class ClassForm(FamilyReasonForm):
    terms = forms.ChoiceField(
        label="Each family gets",
        choices=[(terms.value, terms.label.capitalize()) for terms in Terms],
        initial=Terms.REFUND,
        widget=UnfoldAdminRadioSelectWidget,
    )
    field_order = ["terms", "reason"]

    def __init__(self, *args: object, course: Course, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class SessionChoice(forms.ModelChoiceField):  # type: ignore[type-arg] # not generic at run time
    def label_from_instance(self, obj: CourseSession) -> str:
        return f"{day(obj.held_on)}, {time_of_day(obj.start_time)}"


class SessionForm(FamilyReasonForm):
    session = SessionChoice(queryset=CourseSession.objects.none(), widget=UnfoldAdminSelectWidget)
    field_order = ["session", "reason"]

    def __init__(self, *args: object, course: Course, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["session"].queryset = sessions_to_cancel(course)  # type: ignore[attr-defined]


def sessions_to_cancel(course: Course) -> QuerySet[CourseSession]:
    now = clock.now()
    to_come = [session.pk for session in course.sessions.filter(cancelled_at=None) if session.starts_at > now]
    return course.sessions.filter(pk__in=to_come)
