"""What pages show of a class whose sessions are already loaded."""

import datetime

from django import template

from enrollments.models import Course, CourseSession

register = template.Library()


@register.filter
def next_session(course: Course, on: datetime.date) -> CourseSession | None:
    """The first one on that day or later."""
    return next((session for session in course.meetings() if session.held_on >= on), None)


@register.filter
def has_ended(course: Course, on: datetime.date) -> bool:
    return course.has_ended(on)
