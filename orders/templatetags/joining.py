from django import template

from csf import clock
from enrollments.models import Course
from orders.catalog.joining import Joining
from orders.catalog.joining import joining as joining_at

register = template.Library()


@register.simple_tag
def joining(course: Course) -> Joining:
    """What a child who joins this class now would get: `{% joining course as join %}`."""
    return joining_at(course, now=clock.now())
