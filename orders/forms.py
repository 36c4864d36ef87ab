import datetime
from collections.abc import Sequence
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.functional import cached_property

from enrollments.classes.overlaps import Overlap, overlaps
from enrollments.models import Child, Course, EmergencyContact, Enrollment, Household, Location, Program
from enrollments.models.courses import CourseQuerySet
from enrollments.models.seats import WAITING

OLDEST = 21  # years that the age filter takes
BAD_AGE = f"Enter the age in whole years, from 0 to {OLDEST}."


class CatalogForm(forms.Form):
    """What a parent looks for. Every field may be empty."""

    program = forms.ModelChoiceField(
        Program.objects.filter(archived_at=None, pk__in=Course.objects.published().values("program")),
        required=False,
        empty_label="All programs",
        error_messages={"invalid_choice": "We do not have this program. Choose one from the list."},
    )
    location = forms.ModelChoiceField(
        Location.objects.filter(archived_at=None, pk__in=Course.objects.published().values("location")),
        required=False,
        empty_label="All locations",
        error_messages={"invalid_choice": "We do not have this location. Choose one from the list."},
    )
    weekday = forms.TypedChoiceField(
        label="Day",
        coerce=int,
        choices=[("", "Any day"), *Course.Weekday.choices],
        required=False,
        empty_value=None,
        error_messages={"invalid_choice": "Choose a day from the list."},
    )
    age = forms.IntegerField(
        label="Child's age",
        min_value=0,
        max_value=OLDEST,
        required=False,
        error_messages=dict.fromkeys(["invalid", "min_value", "max_value"], BAD_AGE),
    )
    openings = forms.BooleanField(label="Only classes with places left", required=False)

    def narrow(self, courses: CourseQuerySet, *, now: datetime.datetime) -> CourseQuerySet:
        """The classes that fit; all of them while a field has an error."""
        if not self.is_valid():
            return courses
        wanted = self.cleaned_data
        for name in ("program", "location", "weekday"):
            if wanted[name] is not None:
                courses = courses.filter(**{name: wanted[name]})
        if wanted["age"] is not None:
            courses = courses.for_age(wanted["age"])
        return courses.with_openings(now) if wanted["openings"] else courses

    @property
    def is_used(self) -> bool:
        """Whether anything was searched for, valid or not."""
        return any(self.data.get(name) for name in self.fields)


class PromoForm(forms.Form):
    code = forms.CharField(label="Promo code", max_length=30, error_messages={"required": "Enter a code."})


class LineForm(forms.Form):
    """Which child takes the class. Every child can be chosen: the words beside it say what the obstacle is.
    Children whom the class fits come first, and if there is only one it is already chosen."""

    child = forms.ChoiceField(
        error_messages={"required": "Choose a child.", "invalid_choice": "Choose one of your children."},
        widget=forms.RadioSelect,
    )

    def __init__(
        self, *args: Any, household: Household, course: Course, on: datetime.date, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.course = course
        found = sorted(_children_for(household, course), key=lambda child: not _may_take(child, course))
        self.children = {str(child.public_id): child for child in found}
        self.fitting = [child for child in found if _may_take(child, course)]
        also = overlaps([(child.pk, course) for child in self.fitting], household=household, on=on)
        field = self.fields["child"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (key, _choice(child, course, also.get((child.pk, course.pk), [])))
            for key, child in self.children.items()
        ]
        if len(self.fitting) == 1:
            field.initial = str(self.fitting[0].public_id)

    def clean_child(self) -> Child:
        return self.children[self.cleaned_data["child"]]

    @cached_property
    def enrolled(self) -> list[Enrollment]:
        """The places that the family's children have in the class, paid for or not."""
        places = Enrollment.objects.enrolled().filter(child__in=self.children.values(), course=self.course)
        return list(places.select_related("child", "order_item__order").order_by("pk"))

    @property
    def reasons(self) -> list[str]:
        """Each other child with its obstacle."""
        enrolled = {str(place.child.public_id) for place in self.enrolled}
        choices = self.fields["child"].choices  # type: ignore[attr-defined]
        return [words for key, words in choices if key not in enrolled]

    @property
    def is_any_waiting(self) -> bool:
        return any(child.is_waiting for child in self.children.values())  # type: ignore[attr-defined]

    @property
    def without_contact(self) -> list[Child]:
        return [child for child in self.fitting if not child.has_contact]  # type: ignore[attr-defined]


def _children_for(household: Household, course: Course) -> QuerySet[Child]:
    """Each with whether it has a place there or is offered one, waits for one (even if the waitlist has
    ended), and has a contact."""
    here = Enrollment.objects.filter(child=OuterRef("pk"), course=course)
    contacts = EmergencyContact.objects.filter(child=OuterRef("pk"))
    return household.children.annotate(
        has_place=Exists(here.blocking()),
        is_waiting=Exists(here.filter(status__in=WAITING)),
        has_contact=Exists(contacts),
    )


def _may_take(child: Any, course: Course) -> bool:
    return not child.has_place and course.fits_age(child.age_on(course.starts_on))


def _choice(child: Any, course: Course, also: Sequence[Overlap]) -> str:
    age = child.age_on(course.starts_on)
    if child.has_place:
        words = "is already on the waitlist" if child.is_waiting else "already has a place"
    elif not course.fits_age(age):
        words = f"will be {age}, but the class is for ages {course.age_min} to {course.age_max}"
    elif not child.has_contact:
        words = f"will be {age}, but needs an emergency contact first"
    else:
        words = f"will be {age} on the first day"
    words = ", ".join([words, *(f"has {overlap}" for overlap in also)])
    return f"\u2068{child.first_name}\u2069: {words}"  # the marks keep a right-to-left name in its place
