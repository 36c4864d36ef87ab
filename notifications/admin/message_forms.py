"""What staff type to write to many families."""

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import F, Q
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from csf import clock
from csf.templatetags.csf_format import day
from enrollments.models import Course, Program
from notifications.models import FamilyMessage
from notifications.models.messages import MAX_BODY, MAX_BODY_LINES, MAX_SUBJECT, Seats

OFFERED_FOR = timedelta(days=180)  # classes that ended earlier are not in the list
MANY_FAMILIES = 50  # above it the number has to be typed


class ClassesChoice(forms.ModelMultipleChoiceField):  # type: ignore[type-arg] # not generic at run time
    def label_from_instance(self, obj: Course) -> str:
        return f"{obj.title}, {obj.location.name}, from {day(obj.first_on)}"


class MessageForm(forms.Form):
    """Of places that were picked one by one the classes are not asked."""

    public_id = forms.UUIDField(widget=forms.HiddenInput)
    kind = forms.ChoiceField(
        label="Kind of message",
        choices=[
            ("class_message", "About a class"),
            ("newsletter", "Newsletter"),
        ],
        help_text=(
            "A message about a class goes to everyone who has not turned these off. A newsletter goes "
            "only to people who asked for it. Anything that is not about their class is a newsletter."
        ),
        initial="class_message",
        widget=UnfoldAdminRadioSelectWidget,
    )
    courses = ClassesChoice(
        Course.objects.none(), label="Classes", required=False, widget=UnfoldAdminSelect2MultipleWidget
    )
    program = forms.ModelChoiceField(
        Program.objects.filter(archived_at=None),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelectWidget,
        help_text="All classes of the program, in addition to those above.",
    )
    seats = forms.MultipleChoiceField(
        label="Families with a child who",
        choices=[(seats.value, f"{'is ' * (seats != Seats.ENDED)}{seats.label}") for seats in Seats],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={"required": "Choose at least one."},
    )
    subject = forms.CharField(max_length=MAX_SUBJECT, widget=UnfoldAdminTextInputWidget)
    body = forms.CharField(
        label="Text",
        max_length=MAX_BODY,
        widget=UnfoldAdminTextareaWidget({"rows": 12}),
        help_text=(
            "Plain text. An empty line starts a new paragraph, and addresses that start with https:// "
            "become links. The email starts with “Hi” and the first name. Replies go to the office."
        ),
    )

    def __init__(self, *args: Any, draft: FamilyMessage | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.picked: list[int] = draft.audience.get("enrollments", []) if draft else []
        if self.picked:
            del self.fields["courses"], self.fields["program"]
            return
        named = draft.audience.get("courses", []) if draft else self.initial.get("courses", [])
        since = clock.today() - OFFERED_FOR
        recent = Course.objects.filter(Q(pk__in=Course.objects.current(since)) | Q(pk__in=named))
        recent = recent.filter(Q(archived_at=None) | Q(pk__in=named)).with_days()
        self.fields["courses"].queryset = recent.select_related("location").order_by("title", F("first_on"))  # type: ignore[attr-defined]

    def clean_subject(self) -> str:
        subject: str = self.cleaned_data["subject"]
        if len(subject.splitlines()) > 1:
            raise forms.ValidationError("Write the subject on one line.")
        return subject

    def clean_body(self) -> str:
        body: str = self.cleaned_data["body"].replace("\r\n", "\n")
        if (lines := len(body.splitlines())) > MAX_BODY_LINES:
            raise forms.ValidationError(f"Write at most {MAX_BODY_LINES} lines. You have {lines}.")
        return body

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        names_some = self.picked or data.get("courses") or data.get("program")
        if data.get("kind") == "class_message" and not names_some and "courses" not in self.errors:
            self.add_error("courses", "Choose classes or a program. Only a newsletter can go to all classes.")
        return data

    @property
    def audience(self) -> dict[str, Any]:
        data = self.cleaned_data
        if self.picked:
            return {"enrollments": self.picked, "seats": data["seats"]}
        program = data["program"]
        return {
            "courses": [course.pk for course in data["courses"]],
            "program": program.pk if program else None,
            "seats": data["seats"],
        }

    @property
    def values(self) -> dict[str, Any]:
        """Of the draft."""
        return {name: self.cleaned_data[name] for name in ("kind", "subject", "body")} | {
            "audience": self.audience
        }


def initial_of(draft: FamilyMessage) -> dict[str, Any]:
    words = {"public_id": draft.public_id, "kind": draft.kind, "subject": draft.subject, "body": draft.body}
    return {**draft.audience, **words}


def blank(courses: list[int]) -> dict[str, Any]:
    return {"public_id": uuid.uuid4(), "courses": courses, "seats": [Seats.ACTIVE]}


class ConfirmForm(forms.Form):
    fingerprint = forms.CharField(widget=forms.HiddenInput)
    count = forms.IntegerField(
        label="Number of families",
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        error_messages={"invalid": "Enter the number of families shown above."},
    )

    def __init__(self, *args: Any, families: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.families = families
        if families <= MANY_FAMILIES:
            del self.fields["count"]
        else:
            self.fields["count"].help_text = f"Enter {families} to confirm."

    def clean_count(self) -> int | None:
        count: int | None = self.cleaned_data["count"]
        if count != self.families:
            raise forms.ValidationError("Enter the number of families shown above.")
        return count
