"""The places of children in classes: their own pages, and the panels of them elsewhere."""

from django.contrib import admin
from django.db.models import Prefetch, QuerySet

from csf.staff.columns import badge, link, state
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Panel, history, panel
from csf.templatetags.csf_format import day, moment
from enrollments.models import Child, Course, Enrollment, EnrollmentTransition, Household

PANEL_ROWS = 50


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


@admin.register(EnrollmentTransition)
class EnrollmentTransitionAdmin(TransitionAdmin):
    parent = "enrollment"
    list_select_related = ["enrollment__child", "enrollment__course", "by"]
    search_fields = ["enrollment__child__first_name", "enrollment__child__last_name", "reason"]


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
