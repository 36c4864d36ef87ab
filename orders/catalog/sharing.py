"""What search engines, and people who get a link, see of a class."""

import json
from typing import Any
from xml.sax.saxutils import escape

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from csf import clock
from csf.money import decimal_text
from csf.templatetags.csf_format import day, time_of_day
from enrollments.models import Course

DESCRIPTION_LENGTH = 155  # what search engines show


@login_not_required
def sitemap(request: HttpRequest) -> HttpResponse:
    """The catalog and each class that is offered."""
    offered = Course.objects.published().offered(clock.today()).order_by("pk")
    paths = [reverse("catalog"), reverse("terms"), *(course.get_absolute_url() for course in offered)]
    rows = "".join(f"<url><loc>{escape(settings.SITE_URL + path)}</loc></url>" for path in paths)
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = f'{head}<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'
    return HttpResponse(text, content_type="application/xml")


def description_of(course: Course) -> str:
    """One line: when, for whom, and what the class is about."""
    ages = f"ages {course.age_min} to {course.age_max}"
    when = f"{course.get_weekday_display()}s, {time_of_day(course.start_time)}"
    facts = f"{when}, {ages}, from {day(course.first_on)}."
    return Truncator(" ".join(f"{facts} {course.description}".split())).chars(DESCRIPTION_LENGTH)


def structured_data(course: Course) -> SafeString:
    """A schema.org Course as JSON-LD, safe inside a script element."""
    instance: dict[str, Any] = {
        "@type": "CourseInstance",
        "courseMode": "Onsite",
        "startDate": course.first_on.isoformat(),
        "endDate": course.last_on.isoformat(),
        "location": {
            "@type": "Place",
            "name": course.location.name,
            "address": course.location.address,
        },
        "courseSchedule": {
            "@type": "Schedule",
            "repeatFrequency": "Weekly",
            "repeatCount": len(course.meetings()),
            "byDay": f"https://schema.org/{course.get_weekday_display()}",
            "startTime": course.start_time.isoformat("minutes"),
            "endTime": course.end_time.isoformat("minutes"),
            "scheduleTimezone": settings.SCHOOL_TIME_ZONE,
        },
    }
    found = {
        "@context": "https://schema.org",
        "@type": "Course",
        "name": course.title,
        "description": course.description or description_of(course),
        "url": settings.SITE_URL + course.get_absolute_url(),
        "typicalAgeRange": f"{course.age_min}-{course.age_max}",
        "provider": {"@type": "Organization", "name": settings.SCHOOL_NAME, "url": settings.SITE_URL},
        "hasCourseInstance": instance,
        "offers": {
            "@type": "Offer",
            "category": "Paid" if course.price_cents else "Free",
            "price": decimal_text(course.price_cents),
            "priceCurrency": settings.CURRENCY.upper(),
        },
    }
    text = json.dumps(found)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return mark_safe(text)  # noqa: S308 - nothing in it can end the script element
