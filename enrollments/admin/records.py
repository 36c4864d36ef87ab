from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Max, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import TabularInline

from csf import clock
from csf.forms.fields import CLOCK_FIELDS, CentsField
from csf.money import money_text
from csf.refusal import NotPossible
from csf.staff.archive import ArchiveAdmin
from csf.staff.columns import badge, link, money, state
from csf.staff.menu import MenuEntry, add_to_menu, add_to_search
from csf.staff.model_admin import ModelAdmin, ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Panel, history, panel
from csf.templatetags.csf_format import day, moment, time_of_day
from enrollments.admin.accounts import GuardianInline, save_guardians
from enrollments.admin.class_changes import CourseMoves
from enrollments.admin.leading_guardian import LeadActions
from enrollments.admin.publishing import CoursePublishing
from enrollments.admin.waitlist import WAITLIST_ACTIONS
from enrollments.classes.dates import first_day_refusal
from enrollments.classes.publishing import archive_course
from enrollments.classes.waitlist import fill
from enrollments.locks import lock_course
from enrollments.models import (
    LEAD_FIRST,
    Child,
    Course,
    CourseSession,
    EmergencyContact,
    Enrollment,
    EnrollmentTransition,
    Household,
    Location,
    Program,
    User,
)

PANEL_ROWS = 50
LONGEST = timedelta(days=3 * 366)  # a class

# --- Families -----------------------------------------------------------------------------------------------


class ChildInline(TabularInline):
    model = Child
    fields = ["first_name", "last_name", "born_on"]
    extra = 0
    show_change_link = True
    can_delete = False


@admin.register(Household)
class HouseholdAdmin(LeadActions, ModelAdmin):
    inlines = [GuardianInline, ChildInline]
    list_display = ["name", "first_email", "number_of_children", "created_at"]
    search_fields = [
        "name",
        "guardians__email",
        "guardians__first_name",
        "guardians__last_name",
        "children__first_name",
        "children__last_name",
    ]
    search_help_text = "Search by family, guardian, child or email."
    date_hierarchy = "created_at"
    ordering = ["name", "pk"]
    fields = ["name", "created_at"]
    readonly_fields = ["created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Household]:
        families: QuerySet[Household] = super().get_queryset(request)
        leads_first = Prefetch("guardians", User.objects.order_by(*LEAD_FIRST))
        return families.annotate(number_of_children=Count("children", distinct=True)).prefetch_related(
            leads_first
        )

    def has_delete_permission(self, request: HttpRequest, obj: Household | None = None) -> bool:
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is User:
            save_guardians(formset)
        else:
            super().save_formset(request, form, formset, change)

    def search_note(self, obj: Household) -> str:
        return self.first_email(obj) or ""

    @admin.display(description="email")
    def first_email(self, family: Household) -> str | None:
        return next((user.email for user in family.guardians.all()), None)

    @admin.display(description="children", ordering="number_of_children")
    def number_of_children(self, family: Any) -> int:
        number: int = family.number_of_children
        return number


class EmergencyContactInline(TabularInline):
    model = EmergencyContact
    fields = ["name", "phone", "relationship", "is_primary"]
    extra = 0
    max_num = EmergencyContact.MOST


@admin.register(Child)
class ChildAdmin(ModelAdmin):
    inlines = [EmergencyContactInline]
    list_display = ["__str__", "born_on", "household", "created_at"]
    list_select_related = ["household"]
    search_fields = ["first_name", "last_name", "household__name"]
    search_help_text = "Search by name or family."
    autocomplete_fields = ["household"]
    ordering = ["last_name", "first_name", "pk"]
    fields = ["first_name", "last_name", "born_on", "household", "created_at"]
    readonly_fields = ["created_at"]

    def search_note(self, obj: Child) -> str:
        return f"of the {obj.household}"


@admin.register(EmergencyContact)
class EmergencyContactAdmin(ReadOnlyAdmin):
    list_display = ["name", "phone", "relationship", "is_primary", "child"]
    list_select_related = ["child"]
    search_fields = ["name", "phone", "child__first_name", "child__last_name"]
    search_help_text = "Search by name, phone or child."
    fields = ["child", "name", "phone", "relationship", "is_primary"]


@panel(Household, permission="enrollments.view_enrollment")
def family_enrollments(family: Household) -> Panel:
    return _enrollments(Enrollment.objects.filter(child__household=family))


@panel(Child, permission="enrollments.view_enrollment")
def child_enrollments(child: Child) -> Panel:
    return _enrollments(Enrollment.objects.filter(child=child))


def _enrollments(enrollments: QuerySet[Enrollment]) -> Panel:
    courses = Prefetch("course", Course.objects.with_days())
    rows = enrollments.select_related("child").prefetch_related(courses).order_by("-pk")
    return Panel(
        "Places",
        ["Child", "Class", "Status", "Starts", "Since"],
        [
            (
                link(row.child),
                link(row, row.course),
                badge(row.status, row.get_status_display()),
                day(row.course.first_on),
                moment(row.created_at),
            )
            for row in rows[:PANEL_ROWS]
        ],
    )


# --- Classes ------------------------------------------------------------------------------------------------


class GroundAdmin(ArchiveAdmin):
    """What classes stand on: in use until the last of them has ended."""

    def archive(self, request: HttpRequest, row: Any) -> None:
        if row.courses.filter(archived_at=None).current(clock.today()).exists():
            raise NotPossible("it has classes that have not ended.")
        super().archive(request, row)


@admin.register(Program)
class ProgramAdmin(GroundAdmin):
    list_display = ["name", "number_of_classes"]
    ordering = ["name"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Program]:
        programs: QuerySet[Program] = super().get_queryset(request)
        return programs.annotate(number_of_classes=Count("courses"))

    @admin.display(description="classes", ordering="number_of_classes")
    def number_of_classes(self, program: Any) -> int:
        number: int = program.number_of_classes
        return number


@admin.register(Location)
class LocationAdmin(GroundAdmin):
    list_display = ["name", "address"]
    ordering = ["name"]
    search_fields = ["name", "address"]


class CourseForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Says by the field, in words, what the database's constraints would refuse."""

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
                "capacity", f"Seat {highest} is taken, so the capacity must be at least {highest}."
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
    verbose_name = "session"
    verbose_name_plural = "sessions"
    fields = ["held_on", "start_time", "end_time", "cancelled_at"]
    readonly_fields = ["cancelled_at"]
    formfield_overrides = CLOCK_FIELDS
    extra = 0


@admin.register(Course)
class CourseAdmin(CourseMoves, CoursePublishing, ArchiveAdmin):
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

    @admin.display(description="seats", ordering="taken")
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


@admin.register(Enrollment)
class EnrollmentAdmin(ReadOnlyAdmin):
    list_display = ["child", "course", state(), "tier", "seat_number", "expires_at", "created_at"]
    list_filter = ["status", "tier", "course__program", "created_at"]
    list_select_related = ["child", "course"]
    search_fields = ["child__first_name", "child__last_name", "course__title", "child__household__name"]
    search_help_text = "Search by child, family or class."
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = [
        ("child", "course"),
        (state(), "seat_number", "expires_at"),
        ("tier", "joined_at", "priority_at"),
        ("created_at", "public_id"),
    ]

    def get_urls(self) -> list[Any]:
        return [WAITLIST_ACTIONS.path(self), *super().get_urls()]


@admin.register(EnrollmentTransition)
class EnrollmentTransitionAdmin(TransitionAdmin):
    parent = "enrollment"
    list_select_related = ["enrollment__child", "enrollment__course", "by"]
    search_fields = ["enrollment__child__first_name", "enrollment__child__last_name", "reason"]


@panel(Course, permission="enrollments.view_enrollment")
def course_enrollments(course: Course) -> Panel:
    rows = course.enrollments.select_related("child__household").order_by("seat_number", "-pk")
    return Panel(
        "Places",
        ["Seat", "Child", "Age at the start", "Family", "Status"],
        [
            (
                row.seat_number,
                link(row, row.child),
                row.child.age_on(course.starts_on),
                link(row.child.household),
                badge(row.status, row.get_status_display()),
            )
            for row in rows[: 2 * PANEL_ROWS]
        ],
    )


@panel(Enrollment, permission="enrollments.view_enrollmenttransition")
def enrollment_history(enrollment: Enrollment) -> Panel:
    return history(enrollment)


add_to_menu(
    "Families",
    MenuEntry(Household, "Families", "family_restroom"),
    MenuEntry(Child, "Children", "child_care"),
    MenuEntry(User, "Users", "person"),
)
add_to_menu(
    "Classes",
    MenuEntry(Course, "Classes", "sports"),
    MenuEntry(Enrollment, "Places", "how_to_reg"),
    MenuEntry(Program, "Programs", "category"),
    MenuEntry(Location, "Locations", "location_on"),
)
add_to_search(Household, Child, Course)
