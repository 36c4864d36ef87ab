"""Classes and their sessions."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import TabularInline

from csf import clock
from csf.forms.fields import CLOCK_FIELDS, CentsField
from csf.money import money_text
from csf.staff.archive import ArchiveAdmin
from csf.staff.columns import money
from csf.staff.model_admin import ReadOnlyAdmin
from csf.templatetags.csf_format import day, time_of_day
from enrollments.classes.dates import first_day_refusal
from enrollments.classes.publishing import archive_course
from enrollments.classes.waitlist import fill
from enrollments.locks import lock_course
from enrollments.models import Course, CourseSession, User
from office.admin.class_moves import CourseChanges

LONGEST = timedelta(days=3 * 366)  # a class


class CourseForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Says beside the field, in words, what the database's constraints would refuse."""

    price_cents = CentsField(label="Price", lowest=0, help_text="0 makes it free.")

    class Meta:
        labels = {
            "slug": "Page address",
            "age_min": "Youngest age",
            "age_max": "Oldest age",
            "capacity": "Places",
            "starts_on": "First day",
            "ends_on": "Last day",
        }
        help_texts = {
            "what_to_bring": "One item per line. Shown on the class page and in the email before it starts."
        }

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        self._refuse_reversed(data, "age_min", "age_max", "Must not be below the youngest age.")
        self._refuse_reversed(data, "starts_on", "ends_on", "Must not be before the first day.")
        self._refuse_other_weekday(data)
        self._refuse_too_long(data)
        self._refuse_reversed(
            data, "registration_opens_at", "registration_closes_at", "Must not be before registration opens."
        )
        self._refuse_reversed(data, "start_time", "end_time", "Must be after the start.", may_be_equal=False)
        least_cents = max(100, settings.MINIMUM_CHARGE_CENTS)
        if 0 < (data.get("price_cents") or 0) < least_cents:
            self.add_error("price_cents", f"Must be 0 or at least {money_text(least_cents)}.")
        highest = self._highest_seat_taken()
        if data.get("capacity", highest) < highest:
            self.add_error(
                "capacity", f"Place {highest} is taken, so there must be at least {highest} places."
            )
        return data

    def _refuse_other_weekday(self, data: dict[str, Any]) -> None:
        """Of a class that has moved to another day of the week, the first day stays what it was."""
        first_on, weekday = data.get("starts_on"), data.get("weekday")
        if "starts_on" not in self.changed_data or first_on is None or weekday is None:
            return
        if refusal := first_day_refusal(first_on, weekday):
            self.add_error("starts_on", refusal)

    def _refuse_too_long(self, data: dict[str, Any]) -> None:
        """A mistyped year would write a session for each week of centuries."""
        first_on, last_on = data.get("starts_on"), data.get("ends_on")
        if first_on and last_on and last_on - first_on > LONGEST:
            self.add_error("ends_on", "Must be within three years of the first day.")

    def _refuse_reversed(
        self, data: dict[str, Any], first: str, last: str, message: str, *, may_be_equal: bool = True
    ) -> None:
        low, high = data.get(first), data.get(last)
        if low is not None and high is not None and (high < low or (high == low and not may_be_equal)):
            self.add_error(last, message)

    def _highest_seat_taken(self) -> int:
        if not self.instance.pk:
            return 0
        return self.instance.enrollments.aggregate(highest=Max("seat_number"))["highest"] or 0


class SessionInline(TabularInline):
    model = CourseSession
    fields = ["held_on", "start_time", "end_time", "cancelled_at"]
    readonly_fields = ["cancelled_at"]
    formfield_overrides = CLOCK_FIELDS
    extra = 0


@admin.register(Course)
class CourseAdmin(CourseChanges, ArchiveAdmin):
    form = CourseForm
    inlines = [SessionInline]
    list_display = [
        "title",
        "program",
        "location",
        "when",
        "first_day",
        money("price_cents"),
        "seats",
        "waiting",
        "is_published",
    ]
    list_filter = [
        "is_published",
        ("cancelled_at", admin.EmptyFieldListFilter),
        "program",
        "location",
        "weekday",
        "starts_on",
    ]
    list_select_related = ["program", "location"]
    search_fields = ["title", "program__name", "location__name"]
    search_help_text = "Search by title, program or location."
    autocomplete_fields = ["program", "location"]
    prepopulated_fields = {"slug": ["title"]}
    date_hierarchy = "starts_on"
    ordering = ["starts_on", "title", "pk"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "title",
                    "slug",
                    ("program", "location"),
                    "description",
                    "what_to_bring",
                ]
            },
        ),
        (
            "Ages, places and price",
            {"fields": [("age_min", "age_max"), ("price_cents", "capacity"), "prorates_late_joiners"]},
        ),
        ("When", {"fields": [("starts_on", "ends_on"), "weekday", ("start_time", "end_time")]}),
        (
            "Registration",
            {"fields": ["registration_opens_at", "registration_closes_at", "offers_after_start"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Course]:
        return super().get_queryset(request).with_places().with_days()  # type: ignore[no-any-return]

    def archive(self, request: HttpRequest, row: Course) -> None:
        assert isinstance(request.user, User)
        archive_course(course=row, by=request.user, now=clock.now())

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"registration_opens_at": clock.now()} | given

    def response_post_save_add(self, request: HttpRequest, obj: Course) -> HttpResponse:
        """A new class is a draft: next come its sessions and publishing it."""
        return redirect("admin:enrollments_course_change", obj.pk)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """A seat that is added is offered to the waitlist."""
        super().save_related(request, form, formsets, change)
        course: Course = form.instance
        assert isinstance(request.user, User)
        if not change and not course.sessions.exists():
            written = len(course.plan_sessions())
            messages.info(request, f"{written} weekly sessions were added; remove any that will not meet.")
        elif change:
            fill(lock_course(course.pk), now=clock.now(), by=request.user)

    @admin.display(description="when", ordering="weekday")
    def when(self, course: Course) -> str:
        return f"{course.get_weekday_display()}, {time_of_day(course.start_time)}"

    @admin.display(description="starts", ordering="first_on")
    def first_day(self, course: Course) -> str:
        return day(course.first_on)

    @admin.display(description="places", ordering="taken")
    def seats(self, course: Course) -> str:
        return f"{course.taken} of {course.capacity}"

    @admin.display(description="waiting", ordering="waiting")
    def waiting(self, course: Course) -> int | str:
        return course.waiting or ""


@admin.register(CourseSession)
class SessionAdmin(ReadOnlyAdmin):
    list_display = ["course", "held_on", "start_time", "end_time", "cancelled_at"]
    list_select_related = ["course"]
    list_filter = ["held_on"]
    search_fields = ["course__title"]
    date_hierarchy = "held_on"
    fields = ["course", "held_on", "start_time", "end_time", "cancelled_at"]
