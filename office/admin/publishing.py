"""The page that publishes a class, with a list of what it has and lacks, or hides it again."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from csf import clock
from csf.refusal import NotPossible
from csf.staff.panels import Button, row_buttons
from enrollments.classes.publishing import checklist, publish, unpublish
from enrollments.families.who_is_notified import not_notified
from enrollments.models import Course, User


class CoursePublishing:
    """For the admin of classes."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.publishing)
        own = path("<int:pk>/publish/", view, name="enrollments_course_publish")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def publishing(self, request: HttpRequest, pk: int) -> HttpResponse:
        course, now = get_object_or_404(Course, pk=pk), clock.now()
        if not self.has_change_permission(request, course):  # type: ignore[attr-defined]
            raise PermissionDenied
        assert isinstance(request.user, User)
        if request.method == "POST":
            try:
                if course.is_published:
                    unpublish(course=course, by=request.user)
                    done = "Parents no longer see the class."
                else:
                    publish(course=course, by=request.user, now=now)
                    done = "The class is published."
            except NotPossible as missing:
                messages.error(request, f"Not published. {missing}.")
                return redirect(request.path)
            self.log_change(request, course, done)  # type: ignore[attr-defined]
            messages.success(request, done)
            return redirect("admin:enrollments_course_change", pk)
        checks = checklist(course, now=now)
        waiting = course.enrollments.waitlisted().select_related("child__household")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": course,
            "title": "Hide from parents" if course.is_published else "Publish",
            "course": course,
            "waiting": len(waiting),
            "not_notified": not_notified(place.child.household for place in waiting),
            "checks": checks,
            "is_ready": all(check.is_met or not check.is_required for check in checks),
        }
        return TemplateResponse(request, "admin/enrollments/course_publish.html", context)


@row_buttons(Course)
def publishing_button(request: HttpRequest, course: Course) -> list[Button]:
    if not request.user.has_perm("enrollments.change_course"):
        return []
    title = "Hide from parents" if course.is_published else "Publish"
    return [Button(title, reverse("admin:enrollments_course_publish", args=[course.pk]))]
